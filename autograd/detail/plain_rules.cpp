// The rules that a plain backward runs by itself, without recording: elementwise ops, slices and reshapes.

#include <algorithm>
#include <cstring>

#include <rewind/autograd/detail/plain_sweep.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/reduce.h>
#include <rewind/core/scratch.h>

namespace rw::detail {

// The common case, kept apart for speed: all inputs of the node's shape, nothing between rows.
bool PlainSweep::one_shape_rule(NodeId id) {
  const Node& n = tape_.nodes[id];
  const void* x[max_loop_inputs];
  const std::size_t arity = n.arity;
  for (std::size_t i = 0; i < arity; ++i) {
    const Node& from = tape_.nodes[n.input[i]];
    if (!(from.shape == n.shape) || from.stride != n.stride) return false;
    x[i] = from.data;
  }
  x[arity] = n.data;
  x[arity + 1] = tape_.gradients[id];
  const Index size = n.shape.size();
  const ElementwiseFact& fact = *n.info->elementwise;
  const std::size_t moved = takeover_input(id);
  for (std::size_t i = 0; i < arity; ++i) {
    const NodeId to = n.input[i];
    if (i == moved || !tape_.nodes[to].needs_grad || fact.gradient[i].f32 == nullptr) continue;
    const bool first = begins(to);
    x[arity + 2] = tape_.gradients[to];
    contiguous_loop(first ? fact.gradient[i] : fact.accumulate[i], n.op, n.dtype, size, x,
                    static_cast<int>(arity + (first ? 2 : 3)), tape_.gradients[to]);
  }
  if (moved < arity) move_gradient(id, n.input[moved]);
  return true;
}

// The input that may take over this node's gradient as it stands: the rule passes it on unchanged, nothing has been
// added for the input yet, nor will another input of this node, and nobody wants this node's gradient later.
std::size_t PlainSweep::takeover_input(NodeId id) const {
  const Node& n = tape_.nodes[id];
  const std::uint32_t passes = n.info->elementwise->passes_gradient;
  if (passes == 0 || keeps_gradient(id)) return n.arity;
  for (std::size_t i = 0; i < n.arity; ++i) {
    const NodeId to = n.input[i];
    if ((passes >> i & 1u) == 0 || !tape_.nodes[to].needs_grad || !may_be_given(to)) continue;
    if (std::count(n.input, n.input + n.arity, to) == 1) return i;
  }
  return n.arity;
}

void PlainSweep::move_gradient(NodeId from, NodeId to) {
  tape_.gradients[to] = tape_.gradients[from];
  tape_.gradient_terms[to] = 1;
  tape_.gradients[from] = nullptr;
}

void PlainSweep::elementwise_rule(NodeId id) {
  if (one_shape_rule(id)) return;
  const Node& n = tape_.nodes[id];
  Scratch<ConstView, max_loop_inputs> x;
  const std::size_t arity = n.arity;
  for (std::size_t i = 0; i < arity; ++i) x[i] = tape_.nodes[n.input[i]].value();
  x[arity] = n.value();
  x[arity + 1] = gradient(id);
  for (std::size_t i = 0; i < arity; ++i)
    if (wants(n.input[i]) && n.info->elementwise->gradient[i].f32 != nullptr)
      elementwise_input(id, i, x.first(arity + 2));
}

// The input was stretched: its gradient is summed back.
void PlainSweep::stretched_input(NodeId id, std::size_t input, std::span<const ConstView> x) {
  const Node& n = tape_.nodes[id];
  const NodeId to = n.input[input];
  const ElementwiseFact& fact = *n.info->elementwise;
  if ((fact.passes_gradient >> input & 1u) != 0) return add_summed(to, gradient(id));
  void* whole = tape_.blocks.take(bytes_of(n));
  const View y = contiguous_view(whole, n.shape, n.dtype);
  broadcast_loop(fact.gradient[input], n.op, x, y);
  add_summed(to, y);
  tape_.blocks.release(whole, bytes_of(n));
}

void PlainSweep::add_summed(NodeId to, ConstView g) {
  const Node& target = tape_.nodes[to];
  if (g.size() == target.shape.size()) return add_to(to, contiguous_view(g.data, target.shape, g.dtype));
  if (begins(to)) return sum_to(g, gradient(to));
  void* part = tape_.blocks.take(bytes_of(target));
  const View sum = contiguous_view(part, target.shape, target.dtype);
  sum_to(g, sum);
  add_into(sum, gradient(to));
  tape_.blocks.release(part, bytes_of(target));
}

void PlainSweep::add_to(NodeId to, ConstView g) {
  if (begins(to))
    copy(g, gradient(to));
  else
    add_into(g, gradient(to));
}

void PlainSweep::elementwise_input(NodeId id, std::size_t input, std::span<const ConstView> x) {
  const Node& n = tape_.nodes[id];
  const NodeId to = n.input[input];
  const ElementwiseFact& fact = *n.info->elementwise;
  const Node& target = tape_.nodes[to];
  if (!(target.shape == n.shape)) return stretched_input(id, input, x);
  const bool first = begins(to);
  const View dx = gradient(to);
  Scratch<ConstView, max_loop_inputs> all;
  std::size_t inputs = x.size();
  for (std::size_t i = 0; i < inputs; ++i) all[i] = x[i];
  if (!first) all[inputs++] = dx;
  broadcast_loop(first ? fact.gradient[input] : fact.accumulate[input], n.op, all.first(inputs), dx);
}

void PlainSweep::add_part(NodeId to, ConstView part, Index axis, Index start) {
  if (make_gradient(to)) std::memset(tape_.gradients[to], 0, bytes_of(tape_.nodes[to]));
  if (part.size() == 0) return;
  const View region = slice_as_rows(gradient(to), axis, start, part.shape[static_cast<int>(axis)]);
  if (part.contiguous()) return add_into(contiguous_view(part.data, region.shape, part.dtype), region);
  const std::size_t bytes = static_cast<std::size_t>(part.size()) * size_of(part.dtype);
  void* packed = tape_.blocks.take(bytes);
  copy(part, contiguous_view(packed, part.shape, part.dtype));
  add_into(contiguous_view(static_cast<const void*>(packed), region.shape, part.dtype), region);
  tape_.blocks.release(packed, bytes);
}

// The two views that every unrolled cell is full of; the same sums as their recorded rules make.
void PlainSweep::slice_rule(NodeId id) {
  const Node& n = tape_.nodes[id];
  const auto& slice = *static_cast<const Slice*>(n.op);
  if (wants(n.input[0])) add_part(n.input[0], gradient(id), slice.axis, slice.start);
}

void PlainSweep::reshape_rule(NodeId id) {
  const Node& n = tape_.nodes[id];
  const NodeId to = n.input[0];
  if (!wants(to)) return;
  if (may_be_given(to) && !keeps_gradient(id))
    move_gradient(id, to);
  else
    add_to(to, contiguous_view(tape_.gradients[id], tape_.nodes[to].shape, n.dtype));
}

}  // namespace rw::detail
