#pragma once

// Internal to tools/graph/: use fold_time.

#include <rewind/tools/graph/fold.h>

namespace rw::detail {

/// Where a node stands in the loops: class `c` at step `t`.
struct Place {
  std::uint32_t loop = no_node;
  Index c = 0, t = 0;
};

/// By node of `view`.
std::vector<Place> places(const GraphView& view, const std::vector<GraphLoop>& loops);

/// One node that stands for class `c` at all steps: attributes that vary as "start=0..499", bytes added, the largest
/// norm.
GraphNode merged_node(const GraphView& view, const GraphLoop& loop, Index c);

/// Makes the boxes of the folded view in `out`: one "x T" a loop, where the scopes of its steps begin to differ ("t=3"
/// becomes "t"), or else around all of it. Returns the scopes of nodes outside of loops and of the first step's.
std::vector<std::uint32_t> fold_scopes(const GraphView& view, const std::vector<GraphLoop>& loops,
                                       const std::vector<Place>& place, GraphView& out);

/// Draws what only gives another shape to what nothing else uses together with that ("slice, reshape"), and equal
/// numbers of one box once.
GraphView merge_views(const GraphView& view);

}  // namespace rw::detail
