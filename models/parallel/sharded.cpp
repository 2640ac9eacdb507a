#include <algorithm>
#include <new>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/parallel/sharded.h>
#include <rewind/models/parallel/tree.h>

namespace rw {

using detail::nodes_of;
using detail::ShardRange;
using detail::shards_of;
using detail::tree_sum;
using detail::TreeSum;

// The gradients of all parameters of one element type, one behind the other.
template <class T>
struct ShardedGradients::Buffers {
  std::vector<std::shared_ptr<Parameter::Data>> parameters{};  // each once
  std::vector<std::size_t> begins{};                           // of each, and where the last ends
  std::vector<std::vector<T>> shards{};                        // of this process
  std::vector<T> sent{}, received{};                           // slices on their way to the processes that add them up
  std::size_t size() const { return begins.back(); }
};

namespace {

// Elements that are added at a time: they stay in a cache close to the processor while all leaves are added.
constexpr std::size_t block_size = 4096;

template <class T>
void carry_out(const TreeSum& sum, std::span<T* const> leaves, std::size_t size) {
  if (sum.additions.empty()) return;
  parallel_for(static_cast<Index>((size + block_size - 1) / block_size), [&](Index block) {
    const std::size_t begin = static_cast<std::size_t>(block) * block_size, end = std::min(begin + block_size, size);
    for (const auto& [to, from] : sum.additions) {
      T* a = leaves[to];
      const T* b = leaves[from];
      for (std::size_t i = begin; i < end; ++i) a[i] += b[i];
    }
  });
}

// The part of `size` elements that process `rank` adds up.
struct Slice {
  std::size_t begin, end;
  std::size_t size() const { return end - begin; }
};

Slice slice_of(int rank, int ranks, std::size_t size) {
  const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(ranks);
  return {size * r / n, size * (r + 1) / n};
}

template <class T>
std::string_view bytes_of(const T* from, std::size_t count) {
  return {reinterpret_cast<const char*>(from), count * sizeof(T)};
}

template <class T>
std::span<char> room_for(T* to, std::size_t count) {
  return {reinterpret_cast<char*>(to), count * sizeof(T)};
}

std::vector<ShardRange> single_shards(Index first, Index last) {
  std::vector<ShardRange> out;
  for (Index i = first; i < last; ++i) out.push_back({i, i + 1});
  return out;
}

}  // namespace

ShardedGradients::ShardedGradients(std::span<const NamedParameter> parameters, Index shards, Group& group)
    : shards_(shards),
      group_(&group),
      f32_(std::make_unique<Buffers<float>>()),
      f64_(std::make_unique<Buffers<double>>()) {
  if (shards < 1) throw Error(fmt::format("ShardedGradients: a batch has 1 shard or more, not {}", shards));
  const ShardRange mine = shards_of(group.rank(), group.size(), shards);
  first_ = mine.first;
  last_ = mine.last;
  const auto prepare = [&](auto& buffers) {
    buffers.begins = {0};
    buffers.shards.resize(static_cast<std::size_t>(last_ - first_));
  };
  prepare(*f32_);
  prepare(*f64_);
  detail::for_each_once(parameters, [&](const NamedParameter& p) {
    const auto add = [&](auto& buffers) {
      buffers.parameters.push_back(p.parameter->data());
      buffers.begins.push_back(buffers.size() + static_cast<std::size_t>(p.parameter->size()));
    };
    if (p.parameter->dtype() == DType::f64)
      add(*f64_);
    else
      add(*f32_);
  });
}

ShardedGradients::~ShardedGradients() = default;
ShardedGradients::ShardedGradients(ShardedGradients&&) noexcept = default;
ShardedGradients& ShardedGradients::operator=(ShardedGradients&&) noexcept = default;

double ShardedGradients::step(const std::function<double(Index, Gradients&)>& read) {
  const auto check = [](const auto& buffers) {
    for (const auto& parameter : buffers.parameters) parameter->check_grad();
  };
  std::optional<std::string> replaced;
  try {
    check(*f32_);
    check(*f64_);
  } catch (const Error& error) {
    replaced = error.what();
  }
  const auto read_and_collect = [&](Index shard) {
    Gradients gradients;
    const double part = read(shard, gradients);
    collect(shard, gradients, *f32_);
    collect(shard, gradients, *f64_);
    return part;
  };
  const double loss = run(read_and_collect, replaced);
  add_up(*f32_);
  add_up(*f64_);
  return loss;
}

double ShardedGradients::sum(const std::function<double(Index)>& read) { return run(read, std::nullopt); }

// The numbers of all shards, added up. Throws in all processes when one of them does, or comes with an error.
double ShardedGradients::run(const std::function<double(Index)>& read, std::optional<std::string> error) {
  const auto count = static_cast<std::size_t>(last_ - first_);
  std::vector<double> mine(count);
  std::vector<std::optional<std::string>> errors(count);
  parallel_for(error.has_value() ? 0 : last_ - first_, [&](Index i) {
    const auto s = static_cast<std::size_t>(i);
    try {
      mine[s] = read(first_ + i);
    } catch (const std::bad_alloc&) {
      errors[s] = "not enough memory";
    } catch (const std::exception& e) {
      errors[s] = e.what();
    }
  });
  for (const auto& e : errors)
    if (!error.has_value()) error = e;
  throw_errors_of_any(*group_, error);

  std::vector<double> all(static_cast<std::size_t>(shards_));
  std::vector<std::span<char>> in;
  for (int r = 0; r < group_->size(); ++r) {
    const ShardRange theirs = shards_of(r, group_->size(), shards_);
    in.push_back(room_for(all.data() + theirs.first, static_cast<std::size_t>(theirs.last - theirs.first)));
  }
  const std::vector<std::string_view> out(in.size(), bytes_of(mine.data(), count));
  group_->exchange(out, in);
  for (const auto& [to, from] : tree_sum(single_shards(0, shards_), shards_).additions) all[to] += all[from];
  return all[0];
}

template <class T>
void ShardedGradients::collect(Index shard, Gradients& gradients, Buffers<T>& buffers) {
  std::vector<T>& to = buffers.shards[static_cast<std::size_t>(shard - first_)];
  to.resize(buffers.size());
  for (std::size_t p = 0; p < buffers.parameters.size(); ++p) {
    const std::span<const T> from = gradients.sum(buffers.parameters[p]).template span<T>();
    std::copy(from.begin(), from.end(), to.data() + buffers.begins[p]);
  }
}

template <class T>
void ShardedGradients::add_up(Buffers<T>& buffers) {
  if (buffers.size() == 0) return;
  std::vector<T*> leaves;
  for (std::vector<T>& shard : buffers.shards) leaves.push_back(shard.data());
  carry_out<T>(tree_sum(single_shards(first_, last_), shards_), leaves, buffers.size());
  if (group_->size() > 1) add_slices(buffers);
  const std::vector<T>& sum = group_->size() > 1 ? buffers.sent : buffers.shards[0];
  for (std::size_t p = 0; p < buffers.parameters.size(); ++p) {
    const std::span<T> to = buffers.parameters[p]->grad.template span<T>();
    const T* from = sum.data() + buffers.begins[p];
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }
}

// Each process adds up its slice of the parameters over all nodes, and shows the others the sum. On return `sent` has
// the sums of all parameters.
template <class T>
void ShardedGradients::add_slices(Buffers<T>& buffers) {
  const std::vector<ShardRange> nodes = exchange_nodes(buffers);
  const int ranks = group_->size();
  const Slice own = slice_of(group_->rank(), ranks, buffers.size());
  std::vector<T*> leaves;
  for (std::size_t i = 0; i < nodes.size(); ++i) leaves.push_back(buffers.received.data() + i * own.size());
  carry_out<T>(tree_sum(nodes, shards_), leaves, own.size());
  std::vector<std::span<char>> in;
  for (int r = 0; r < ranks; ++r) {
    const Slice slice = slice_of(r, ranks, buffers.size());
    in.push_back(room_for(buffers.sent.data() + slice.begin, slice.size()));
  }
  const std::vector<std::string_view> out(in.size(), bytes_of(buffers.received.data(), own.size()));
  group_->exchange(out, in);
}

// Sends each process its slice of what this one has added up, and receives its own of all others: the nodes, in order,
// one behind the other in `received`.
template <class T>
std::vector<ShardRange> ShardedGradients::exchange_nodes(Buffers<T>& buffers) {
  const int ranks = group_->size();
  const Slice own = slice_of(group_->rank(), ranks, buffers.size());
  const TreeSum mine = tree_sum(single_shards(first_, last_), shards_);
  std::vector<ShardRange> nodes;
  std::vector<std::size_t> ends;  // of each process's nodes
  for (int r = 0; r < ranks; ++r) {
    const std::vector<ShardRange> theirs = nodes_of(shards_of(r, ranks, shards_), shards_);
    nodes.insert(nodes.end(), theirs.begin(), theirs.end());
    ends.push_back(nodes.size());
  }
  buffers.sent.resize(std::max<std::size_t>(mine.tops.size(), 1) * buffers.size());
  buffers.received.resize(nodes.size() * own.size());
  std::vector<std::string_view> out;
  std::vector<std::span<char>> in;
  T *from = buffers.sent.data(), *to = buffers.received.data();
  std::size_t received = 0;
  for (int r = 0; r < ranks; ++r) {
    const Slice slice = slice_of(r, ranks, buffers.size());
    out.push_back(bytes_of(from, mine.tops.size() * slice.size()));
    for (const std::size_t top : mine.tops)
      from = std::copy_n(buffers.shards[top].data() + slice.begin, slice.size(), from);
    const std::size_t count = ends[static_cast<std::size_t>(r)] - received;
    in.push_back(room_for(to + received * own.size(), count * own.size()));
    received += count;
  }
  group_->exchange(out, in);
  return nodes;
}

}  // namespace rw
