#include <rewind/autograd/compile/kernel/kernel.h>

namespace rw::ir {

namespace {

// Whether `in` is broadcast along leading or middle axes, and the axes that it keeps are neighbours.
bool broadcast_rows(const Shape& in, const Shape& out, RowsOf& rows) {
  if (in.cols() != out.cols() || in.cols() == 1) return false;
  rows = {1, 1};
  Index leading = 1;  // of the axes before those that it keeps
  for (int k = 2; k <= out.rank(); ++k) {
    const Index all = out[out.rank() - k], own = k <= in.rank() ? in[in.rank() - k] : 1;
    if (own != 1 && (own != all || leading > 1)) return false;
    if (own == all)
      rows.count *= own;
    else
      (rows.count == 1 ? rows.each : leading) *= all;
  }
  if (leading == 1) rows.count = 0;
  return in.rows() * rows.each * leading == out.rows();
}

}  // namespace

bool operand_kind(const Shape& in, const Shape& out, OperandKind& kind, RowsOf& rows) {
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
  // One number a row: with as many rows no other axis is broadcast. Leading axes of 1 may
  // differ.
  if (in.cols() == 1 && in.rows() == out.rows()) {
    kind = OperandKind::column;
    return true;
  }
  kind = OperandKind::rows;
  return broadcast_rows(in, out, rows);
}

bool sums_each_row(const Graph& g, NodeId id) {
  if (!g.is<SumTo>(id)) return false;
  const Shape &from = g.nodes[g.in(id, 0)].shape, &to = g.nodes[id].shape;
  return from.rank() == to.rank() && to.rank() > 0 && from.rows() == to.rows() && to.cols() == 1 &&
         to.size() == to.rows() && from.cols() >= least_summed && from.cols() <= most_summed &&
         is_real(g.nodes[id].dtype) && g.nodes[g.in(id, 0)].dtype == g.nodes[id].dtype;
}

bool fusible(const Graph& g, NodeId id) {
  const Node& n = g.nodes[id];
  if (sums_each_row(g, id)) return true;
  const bool op = n.info->elementwise != nullptr || g.is<AddN>(id) || g.is<BroadcastTo>(id);
  if (!is_real(n.dtype) || !op || n.shape.size() == 0) return false;
  for (NodeId in : g.in(id)) {
    OperandKind kind{};
    RowsOf rows;
    if (g.is<Fill>(in)) continue;
    if (g.nodes[in].dtype != n.dtype || !operand_kind(g.nodes[in].shape, n.shape, kind, rows)) return false;
  }
  return true;
}

}  // namespace rw::ir
