#include <algorithm>
#include <mutex>
#include <new>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/parallel/node_sums.h>
#include <rewind/models/parallel/sharded.h>
#include <rewind/models/parallel/tree.h>

namespace rw {

using detail::NodeSums;
using detail::ShardRange;
using detail::shards_of;
using detail::single_shards;
using detail::tree_sum;

// Gradients of both types, and which shards have theirs.
struct ShardedGradients::Sums {
  Sums(Index shards, Group& group) : f32(shards, group), f64(shards, group) {}

  void begin() {
    f32.begin();
    f64.begin();
    for (std::size_t number = 0; number < f32.most_nodes(); ++number) {  // in the order in which they are sent
      f32.receive(number);
      f64.receive(number);
    }
    collected.assign(static_cast<std::size_t>(all().empty() ? 0 : all().back().last - all().front().first), false);
    sent = 0;
  }
  // Sends what is whole by now and the last node, which comes at the end, is not part of.
  void collect(Index shard, Gradients& gradients) {
    f32.collect(shard, gradients);
    f64.collect(shard, gradients);
    if (all().size() == 1) return;
    const std::lock_guard lock(mutex);
    collected[static_cast<std::size_t>(shard - all().front().first)] = true;
    while (sent + 1 < all().size() && is_whole(all()[sent])) send_next();
  }
  // Whether whole or not: the others wait for it.
  void send_rest() {
    while (sent < all().size()) send_next();
  }
  void wait() {
    f32.wait();
    f64.wait();
  }

  NodeSums<float> f32;
  NodeSums<double> f64;

 private:
  const std::vector<ShardRange>& all() const { return f32.own_nodes(); }
  bool is_whole(ShardRange node) const {
    const auto begin = collected.begin() + (node.first - all().front().first);
    return std::find(begin, begin + (node.last - node.first), false) == begin + (node.last - node.first);
  }
  void send_next() {
    f32.send(sent);
    f64.send(sent);
    ++sent;
  }

  std::mutex mutex;  // for what follows
  std::vector<bool> collected;
  std::size_t sent = 0;  // nodes
};

// What the shards of this process gave.
struct ShardedGradients::Numbers {
  std::vector<double> values;
  std::optional<std::string> error;
};

ShardedGradients::ShardedGradients(std::span<const NamedParameter> parameters, Index shards, Group& group)
    : shards_(shards), group_(&group) {
  if (shards < 1) throw Error(fmt::format("ShardedGradients: a batch has 1 shard or more, not {}", shards));
  const ShardRange mine = shards_of(group.rank(), group.size(), shards);
  first_ = mine.first;
  last_ = mine.last;
  sums_ = std::make_unique<Sums>(shards, group);
  detail::for_each_once(parameters, [&](const NamedParameter& p) {
    if (p.parameter->dtype() == DType::f64)
      sums_->f64.add_parameter(p.parameter->data());
    else
      sums_->f32.add_parameter(p.parameter->data());
  });
}

ShardedGradients::~ShardedGradients() = default;
ShardedGradients::ShardedGradients(ShardedGradients&&) noexcept = default;
ShardedGradients& ShardedGradients::operator=(ShardedGradients&&) noexcept = default;

double ShardedGradients::step(const std::function<double(Index, Gradients&)>& read) {
  std::optional<std::string> replaced;
  try {
    sums_->f32.check_gradients();
    sums_->f64.check_gradients();
  } catch (const Error& error) {
    replaced = error.what();
  }
  sums_->begin();
  const auto read_and_collect = [&](Index shard) {
    Gradients gradients;
    const double part = read(shard, gradients);
    sums_->collect(shard, gradients);
    return part;
  };
  const Numbers losses = read_all(read_and_collect, replaced);
  sums_->send_rest();
  const std::optional<double> loss = total(losses);
  sums_->wait();
  if (!loss) throw_errors_of_any(*group_, losses.error);
  sums_->f32.add_to_gradients();
  sums_->f64.add_to_gradients();
  return loss.value();
}

double ShardedGradients::sum(const std::function<double(Index)>& read) {
  const Numbers numbers = read_all(read, std::nullopt);
  const std::optional<double> sum = total(numbers);
  if (!sum) throw_errors_of_any(*group_, numbers.error);
  return sum.value();
}

// With an error nothing is read.
ShardedGradients::Numbers ShardedGradients::read_all(const std::function<double(Index)>& read,
                                                     std::optional<std::string> error) const {
  const auto count = static_cast<std::size_t>(last_ - first_);
  Numbers out{std::vector<double>(count), std::move(error)};
  std::vector<std::optional<std::string>> errors(count);
  parallel_for(out.error.has_value() ? 0 : last_ - first_, [&](Index i) {
    const auto s = static_cast<std::size_t>(i);
    try {
      out.values[s] = read(first_ + i);
    } catch (const std::bad_alloc&) {
      errors[s] = "not enough memory";
    } catch (const std::exception& e) {
      errors[s] = e.what();
    }
  });
  for (const auto& e : errors)
    if (!out.error.has_value()) out.error = e;
  return out;
}

// The sum over the shards of all processes; nothing, in all of them, when one has an error.
std::optional<double> ShardedGradients::total(const Numbers& mine) const {
  std::vector<double> sent = mine.values;
  sent.push_back(mine.error.has_value() ? 1 : 0);
  std::vector<std::vector<double>> all;
  for (int r = 0; r < group_->size(); ++r) {
    const ShardRange theirs = shards_of(r, group_->size(), shards_);
    all.emplace_back(static_cast<std::size_t>(theirs.last - theirs.first) + 1);
  }
  const std::vector<std::string_view> out(all.size(),
                                          {reinterpret_cast<const char*>(sent.data()), sent.size() * sizeof(double)});
  std::vector<std::span<char>> in;
  in.reserve(all.size());
  for (std::vector<double>& theirs : all)
    in.emplace_back(reinterpret_cast<char*>(theirs.data()), theirs.size() * sizeof(double));
  group_->exchange(out, in);
  std::vector<double> values;
  for (const std::vector<double>& theirs : all) {
    if (theirs.back() != 0) return std::nullopt;
    values.insert(values.end(), theirs.begin(), theirs.end() - 1);
  }
  for (const auto& [to, from] : tree_sum(single_shards({0, shards_}), shards_).additions) values[to] += values[from];
  return values[0];
}

}  // namespace rw
