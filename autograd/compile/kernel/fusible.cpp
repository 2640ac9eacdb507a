#include <rewind/autograd/compile/kernel/kernel.h>

namespace rw::ir {

bool operand_kind(const Shape& in, const Shape& out, OperandKind& kind) {
  if (in.rows() == out.rows() && in.cols() == out.cols()) {
    kind = OperandKind::full;
    return true;
  }
  if (in.size() == 1) {
    kind = OperandKind::scalar;
    return true;
  }
  if (in.rows() == 1 && in.cols() == out.cols()) {
    kind = OperandKind::row;
    return true;
  }
  // One number a row: broadcasting cannot stretch another axis where there are as many rows. Leading axes of 1 may
  // differ.
  if (in.cols() == 1 && in.rows() == out.rows()) {
    kind = OperandKind::column;
    return true;
  }
  return false;
}

bool sums_each_row(const Graph& g, NodeId id) {
  constexpr Index least = 32, most = 8192;  // columns: fewer are not worth it, and rows of more leave the cache
  if (!g.is<SumTo>(id)) return false;
  const Shape &from = g.nodes[g.in(id, 0)].shape, &to = g.nodes[id].shape;
  return from.rank() == to.rank() && to.rank() > 0 && from.rows() == to.rows() && to.cols() == 1 &&
         to.size() == to.rows() && from.cols() >= least && from.cols() <= most && is_real(g.nodes[id].dtype) &&
         g.nodes[g.in(id, 0)].dtype == g.nodes[id].dtype;
}

bool fusible(const Graph& g, NodeId id) {
  const Node& n = g.nodes[id];
  if (sums_each_row(g, id)) return true;
  const bool op = n.info->elementwise != nullptr || g.is<AddN>(id) || g.is<BroadcastTo>(id);
  if (!is_real(n.dtype) || !op || n.shape.size() == 0) return false;
  for (NodeId in : g.in(id)) {
    OperandKind kind{};
    if (g.is<Fill>(in)) continue;
    if (g.nodes[in].dtype != n.dtype || !operand_kind(g.nodes[in].shape, n.shape, kind)) return false;
  }
  return true;
}

}  // namespace rw::ir
