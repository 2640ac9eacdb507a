#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/parallel/node_sums.h>

namespace rw::detail {
namespace {

// Elements that are added at a time: they stay in a cache close to the processor while all leaves are added.
constexpr std::size_t block_size = 4096;

template <class T>
void add(const T* from, T* to, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) to[i] += from[i];
}

template <class T>
void carry_out(const TreeSum& sum, std::span<T* const> leaves, std::size_t size) {
  if (sum.additions.empty()) return;
  parallel_for(static_cast<Index>((size + block_size - 1) / block_size), [&](Index block) {
    const std::size_t begin = static_cast<std::size_t>(block) * block_size, end = std::min(begin + block_size, size);
    for (const auto& [to, from] : sum.additions) add(leaves[from], leaves[to], begin, end);
  });
}

template <class T>
std::string_view bytes_of(const T* from, std::size_t count) {
  return {reinterpret_cast<const char*>(from), count * sizeof(T)};
}

template <class T>
std::span<char> room_for(T* to, std::size_t count) {
  return {reinterpret_cast<char*>(to), count * sizeof(T)};
}

}  // namespace

template <class T>
NodeSums<T>::NodeSums(Index shards, Group& group)
    : shards_(shards),
      group_(&group),
      mine_(shards_of(group.rank(), group.size(), shards)),
      own_(nodes_of(mine_, shards)),
      collected_(static_cast<std::size_t>(mine_.last - mine_.first)),
      added_(own_.size()) {
  for (int r = 0; r < group.size(); ++r) {
    std::size_t number = 0;
    for (const ShardRange& range : nodes_of(shards_of(r, group.size(), shards), shards))
      nodes_.push_back({r, number++, range});
  }
}

template <class T>
void NodeSums<T>::add_parameter(std::shared_ptr<Parameter::Data> parameter) {
  const auto elements = static_cast<std::size_t>(parameter->value.size());
  for (std::size_t at = 0; at < elements; at += block_size)
    blocks_.push_back({parameters_.size(), at, std::min(at + block_size, elements)});
  begins_.push_back(size() + elements);
  parameters_.push_back(std::move(parameter));
}

template <class T>
void NodeSums<T>::check_gradients() const {
  for (const auto& parameter : parameters_) parameter->check_grad();
}

template <class T>
typename NodeSums<T>::Slice NodeSums<T>::slice_of(int rank) const {
  const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(group_->size());
  return {size() * r / n, size() * (r + 1) / n};
}

// Where this process's slice of each node stands: within its own nodes, or received.
template <class T>
std::vector<T*> NodeSums<T>::own_slices() {
  const Slice slice = slice_of(group_->rank());
  std::vector<T*> out;
  T* next = received_.data();
  for (const Node& node : nodes_) {
    const bool own = node.rank == group_->rank();
    out.push_back(own ? added_[node.number].data() + slice.begin : next);
    if (!own) next += slice.size();
  }
  return out;
}

template <class T>
void NodeSums<T>::begin() {
  for (std::vector<Array>& shard : collected_) shard.clear();
  for (std::vector<T>& node : added_) node.resize(size());
  if (group_->size() == 1 || size() == 0) return;
  received_.resize((nodes_.size() - own_.size()) * slice_of(group_->rank()).size());
  sums_.resize(size());
}

template <class T>
std::size_t NodeSums<T>::most_nodes() const {
  std::size_t most = 0;
  for (const Node& node : nodes_) most = std::max(most, node.number + 1);
  return most;
}

template <class T>
void NodeSums<T>::receive(std::size_t number) {
  if (group_->size() == 1 || size() == 0) return;
  const std::size_t slice = slice_of(group_->rank()).size();
  const std::vector<T*> slices = own_slices();
  std::vector<Incoming> in;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].number == number && nodes_[i].rank != group_->rank())
      in.push_back({nodes_[i].rank, room_for(slices[i], slice)});
  under_way_.push_back(group_->begin({}, in));
}

template <class T>
void NodeSums<T>::collect(Index shard, Gradients& gradients) {
  std::vector<Array> sums;
  for (const auto& parameter : parameters_) {
    Array& sum = gradients.sum(parameter);
    if (sum.shape() != parameter->value.shape() || sum.dtype() != parameter->value.dtype())
      throw Error(fmt::format("ShardedGradients: shard {} has a gradient of {} for {} of {}", shard, sum.shape().str(),
                              parameter->name, parameter->value.shape().str()));
    sums.push_back(std::move(sum));
  }
  collected(shard) = std::move(sums);
}

// Along the tree, and from there to where all parameters are one behind the other.
template <class T>
void NodeSums<T>::add_up(std::size_t number) {
  const ShardRange node = own_[number];
  const TreeSum sum = tree_sum(single_shards(node), shards_);
  std::vector<T*> leaves;  // by parameter and shard
  for (std::size_t p = 0; p < parameters_.size(); ++p)
    for (Index i = node.first; i < node.last; ++i) leaves.push_back(collected(i)[p].template span<T>().data());
  const auto shards = static_cast<std::size_t>(node.last - node.first);
  parallel_for(static_cast<Index>(blocks_.size()), [&](Index i) {
    const Block& block = blocks_[static_cast<std::size_t>(i)];
    T* const* of = leaves.data() + block.parameter * shards;
    for (const auto& [to, from] : sum.additions) add(of[from], of[to], block.begin, block.end);
    std::copy(of[0] + block.begin, of[0] + block.end, added_[number].data() + begins_[block.parameter] + block.begin);
  });
}

template <class T>
void NodeSums<T>::send(std::size_t number) {
  const ShardRange node = own_[number];
  bool whole = true;
  for (Index i = node.first; i < node.last; ++i) whole = whole && collected(i).size() == parameters_.size();
  if (whole) add_up(number);
  for (Index i = node.first; i < node.last; ++i) collected(i).clear();
  if (group_->size() == 1 || size() == 0) return;
  std::vector<Outgoing> out;
  for (int k = 1; k < group_->size(); ++k) {  // each begins with another, so that nobody is everybody's first
    const int other = (group_->rank() + k) % group_->size();
    const Slice slice = slice_of(other);
    out.push_back({other, bytes_of(added_[number].data() + slice.begin, slice.size())});
  }
  under_way_.push_back(group_->begin(out, {}));
}

template <class T>
void NodeSums<T>::wait() {
  for (const auto& transfer : under_way_) transfer->wait();
  under_way_.clear();
}

// Of all parameters, over all shards.
template <class T>
const T* NodeSums<T>::all_sums() {
  if (group_->size() == 1) return added_[0].data();
  const Slice own = slice_of(group_->rank());
  const std::vector<T*> leaves = own_slices();
  std::vector<ShardRange> ranges;
  ranges.reserve(nodes_.size());
  for (const Node& node : nodes_) ranges.push_back(node.range);
  carry_out<T>(tree_sum(ranges, shards_), leaves, own.size());
  std::vector<std::span<char>> in;
  in.reserve(static_cast<std::size_t>(group_->size()));
  for (int r = 0; r < group_->size(); ++r) in.push_back(room_for(sums_.data() + slice_of(r).begin, slice_of(r).size()));
  const std::vector<std::string_view> out(in.size(), bytes_of(leaves[0], own.size()));
  group_->exchange(out, in);
  return sums_.data();
}

template <class T>
void NodeSums<T>::add_to_gradients() {
  if (size() == 0) return;
  const T* const sums = all_sums();
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    const std::span<T> to = parameters_[p]->grad.template span<T>();
    const T* from = sums + begins_[p];
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }
}

template class NodeSums<float>;
template class NodeSums<double>;

}  // namespace rw::detail
