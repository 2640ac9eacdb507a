#pragma once

#include <vector>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

/// Whether a value may leave the buffer that it has of its own, and stand in rows that are apart.
enum class Movable : char { no, as_whole, in_rows };

/// For each value of a kernel that may stand where an operand of that kernel stood which nothing reads afterwards: that
/// operand; no_node for the others.
std::vector<NodeId> values_in_place(const Graph& g, const Layout& layout, const std::vector<Movable>& movable);

/// Where a buffer may stand for its whole life: in another one, from this element on, or in itself.
struct InBuffer {
  std::uint32_t buffer = 0;
  Index begin = 0;
};

/// For each buffer the one in whose memory it may lie: of the same size, and each part of it is written by a kernel
/// that is the last to read the same part of the other one. Gradients then stand where the gates stood.
std::vector<InBuffer> overlaid_buffers(const Graph& g, const Layout& layout);

/// For each buffer of one step the rows of a stack in which it may stand, since they are written no earlier than it is
/// read last: by the kernel that reads the same elements there, or later. Only stacks most of which is taken up so:
/// they are alive from the first of these steps on. Empty where there are none.
std::vector<InBuffer> buffers_in_stacks(const Graph& g, const Layout& layout);

}  // namespace rw::ir
