#include <algorithm>
#include <bit>
#include <optional>

#include <rewind/models/parallel/tree.h>

namespace rw::detail {
namespace {

class Builder {
 public:
  Builder(std::span<const ShardRange> leaves, Index shards) : leaves_(leaves), shards_(shards) {}

  TreeSum build() {
    const auto size = static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(std::max<Index>(shards_, 1))));
    if (const auto all = complete(0, size)) keep(*all, {0, shards_});
    return std::move(sum_);
  }

 private:
  // The leaf that holds the sum of the node of `size` shards at `first` when all of it is there. Otherwise what is
  // there of it has become tops.
  std::optional<std::size_t> complete(Index first, Index size) {
    const ShardRange node{first, std::min(first + size, shards_)};
    if (at_ == leaves_.size() || leaves_[at_].first >= node.last) return std::nullopt;
    if (leaves_[at_] == node) return at_++;
    if (size == 1) return std::nullopt;
    const Index half = size / 2, middle = first + half;
    const auto left = complete(first, half);
    if (middle >= shards_) return left;
    const auto right = complete(middle, half);
    if (left && right) {
      sum_.additions.emplace_back(*left, *right);
      return left;
    }
    if (left) keep(*left, {first, middle});
    if (right) keep(*right, {middle, node.last});
    return std::nullopt;
  }
  void keep(std::size_t leaf, ShardRange node) {
    const auto place = std::lower_bound(sum_.tops.begin(), sum_.tops.end(), leaf);
    sum_.nodes.insert(sum_.nodes.begin() + (place - sum_.tops.begin()), node);
    sum_.tops.insert(place, leaf);
  }

  std::span<const ShardRange> leaves_;
  Index shards_;
  std::size_t at_ = 0;  // leaves before it have found their place
  TreeSum sum_;
};

}  // namespace

TreeSum tree_sum(std::span<const ShardRange> leaves, Index shards) { return Builder(leaves, shards).build(); }

ShardRange shards_of(int rank, int ranks, Index shards) { return {shards * rank / ranks, shards * (rank + 1) / ranks}; }

std::vector<ShardRange> single_shards(ShardRange range) {
  std::vector<ShardRange> out;
  for (Index i = range.first; i < range.last; ++i) out.push_back({i, i + 1});
  return out;
}

std::vector<ShardRange> nodes_of(ShardRange range, Index shards) {
  return tree_sum(single_shards(range), shards).nodes;
}

}  // namespace rw::detail
