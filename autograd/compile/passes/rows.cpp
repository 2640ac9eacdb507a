#include <algorithm>

#include <rewind/autograd/compile/passes/rows.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {

bool has_parts_by_rows(const Graph& g, NodeId i) {
  return is_product_by_matrix(g, i) && rows_are_independent(g, i) && g.nodes[i].shape.rank() > 1;
}

bool adds_rows(const Graph& g, NodeId i) {
  if (!g.is<SumTo>(i)) return false;
  const Shape &y = g.nodes[i].shape, &x = g.nodes[g.in(i, 0)].shape;
  return y.size() == y.cols() && (y.cols() == x.cols() || y.size() == 1);
}

std::vector<RowReads> row_reads(const Graph& g) {
  std::vector<RowReads> reads(g.size());
  const auto whole = [&](NodeId i) { reads[behind_reshapes(g, i)].all = true; };
  for (NodeId i = 0; i < g.size(); ++i) {
    if (g.is<Reshape>(i)) continue;
    for (NodeId in : g.in(i)) {
      const NodeId from = behind_reshapes(g, in);
      if (!has_parts_by_rows(g, from)) continue;
      const Shape& shape = g.nodes[in].shape;
      const Index inner = shape.size() / std::max<Index>(shape[0], 1), cols = g.nodes[from].shape.cols();
      if (!g.is<Slice>(i) || g.op<Slice>(i).axis != 0 || inner % cols != 0 || g.nodes[i].shape.size() == 0) {
        reads[from].all = true;
        continue;
      }
      const Slice& s = g.op<Slice>(i);
      reads[from].views.push_back({i, s.start * inner / cols, (s.start + s.length) * inner / cols});
    }
  }
  for (NodeId o : g.outputs) whole(o);
  for (const Effect& e : g.effects) whole(e.value);
  return reads;
}

std::vector<RowPiece> row_pieces(const Graph& g, NodeId value, Index cols) {
  const NodeId stack = behind_reshapes(g, value);
  std::vector<RowPiece> out;
  if (!is_stack(g, stack)) return out;
  Index rows = 0;
  for (NodeId piece : g.in(stack)) {
    const Index size = g.nodes[piece].shape.size();
    if (size == 0 || size % cols != 0) return {};
    out.push_back({piece, rows += size / cols});
  }
  return out;
}

}  // namespace rw::ir
