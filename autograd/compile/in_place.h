#pragma once

#include <vector>

#include <rewind/autograd/compile/layout.h>

namespace rw::ir {

/// Whether a value may leave the buffer that it has of its own, and stand in rows that are apart.
enum class Movable : char { no, as_whole, in_rows };

/// For each value of a kernel that may stand where an operand of that kernel stood which nothing reads afterwards: that
/// operand; no_node for the others.
std::vector<NodeId> values_in_place(const Graph& g, const Layout& layout, const std::vector<Movable>& movable);

/// Gives a buffer the memory of another one of its size when each of its parts is written by a kernel that is the last
/// to read the same part of the other one: gradients then stand where the gates stood.
void overlay_buffers(const Graph& g, Layout& layout);

/// The last node of each node's kernel, or the node itself: all accesses of a step happen at this time.
std::vector<NodeId> step_times(const Graph& g);

}  // namespace rw::ir
