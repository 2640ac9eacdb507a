#pragma once

#include <rewind/tools/graph/loops.h>

namespace rw {

/// Each loop drawn once, in a box "x 500", what it carries as edges z^-1, as on lecture slides. A graph without loops
/// is returned as it is.
GraphView fold_time(const GraphView& view);

/// The first `steps` steps of each loop and the last one; a node "..." stands for those between. Throws Error for less
/// than one step.
GraphView window_time(const GraphView& view, int steps);

}  // namespace rw
