#pragma once

#include <vector>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

/// Whether a value may leave the buffer that it has of its own, and stand in rows that are apart.
enum class Movable : char { no, as_whole, in_rows };

/// For each value of a kernel that may stand where an operand of that kernel stood which nothing reads afterwards: that
/// operand; no_node for the others.
std::vector<NodeId> values_in_place(const Graph& g, const Layout& layout, const std::vector<Movable>& movable);

/// For each buffer the one in whose memory it may lie, or itself: of the same size, and each part of it is written by a
/// kernel that is the last to read the same part of the other one. Gradients then stand where the gates stood.
std::vector<std::uint32_t> overlaid_buffers(const Graph& g, const Layout& layout);

/// The last node of each node's kernel, or the node itself: all accesses of a step happen at this time.
std::vector<NodeId> step_times(const Graph& g);

}  // namespace rw::ir
