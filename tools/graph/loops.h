#pragma once

#include <cstdint>
#include <vector>

#include <rewind/tools/graph/view.h>

namespace rw {

/// A loop in a graph: `steps` times the same `period` ops in the same order, which take their inputs from the same
/// shared nodes, from each other, from earlier steps, or from the like places of other loops.
struct GraphLoop {
  Index steps = 0;
  /// nodes[c * steps + t] is the node (a position in the view) of class c at step t. The first `period` classes are the
  /// ops; leaves that each step has of its own, like its input, follow.
  std::vector<std::uint32_t> nodes;
  Index period = 0;
  bool carries = false;  // a step uses something of an earlier one

  /// Ops of a step, and leaves of its own.
  Index classes() const { return static_cast<Index>(nodes.size()) / steps; }
  /// The node of class c at step t.
  std::uint32_t node(Index c, Index t) const { return nodes[static_cast<std::size_t>(c * steps + t)]; }
};

/// The loops of a graph, found from its structure alone: the ops in the order in which they were recorded, and in one
/// in which what belongs together stands together, are searched for repetitions, and a repetition is a loop if its
/// edges repeat too and it carries a state, or goes step by step with one that does. Scopes and names play no part. N
/// ops take time of order N log N.
std::vector<GraphLoop> find_loops(const GraphView& view);

}  // namespace rw
