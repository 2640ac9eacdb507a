#pragma once
// The binary tree along which the shards of a batch are added up. It is fixed by their number: whoever holds which of
// them, and adds what first, the sum has the same bits.
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <rewind/core/shape.h>

namespace rw::detail {

/// Shards [first, last): a node of the tree is an aligned block of 1, 2, 4, ... of them, cut off at their number.
struct ShardRange {
  Index first, last;
  bool operator==(const ShardRange&) const = default;
};

/// How leaves are added up: `additions` in this order, each adding leaf `second` to leaf `first`. Then the leaves
/// `tops` hold sums of nodes whose siblings are not among them: one, the whole sum, when the leaves make up all shards.
struct TreeSum {
  std::vector<std::pair<std::size_t, std::size_t>> additions;
  std::vector<std::size_t> tops;
  std::vector<ShardRange> nodes;  // what each of the tops is a sum of
};

/// `leaves` are nodes of the tree over `shards` in ascending order, none within another.
TreeSum tree_sum(std::span<const ShardRange> leaves, Index shards);

/// The shards of process `rank` of `ranks`: all of them, in order, as evenly as it goes.
ShardRange shards_of(int rank, int ranks, Index shards);

/// Each shard of `range` by itself.
std::vector<ShardRange> single_shards(ShardRange range);

/// The fewest nodes that make up `range`.
std::vector<ShardRange> nodes_of(ShardRange range, Index shards);

}  // namespace rw::detail
