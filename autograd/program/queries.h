#pragma once

#include <rewind/autograd/program/graph.h>

/// What passes, layout and lowering ask of a graph: each question has one answer, here.
namespace rw::ir {

/// An input, parameter or constant: its numbers are there before anything runs.
inline bool is_leaf(const Graph& g, NodeId i) { return !computes(*g.nodes[i].info); }

/// Whether the value may be a part of its input's memory, or all of it in another shape.
inline bool is_view(const Graph& g, NodeId i) { return g.nodes[i].info->alias != nullptr; }

/// What a chain of views looks at; a value that is no view itself.
inline NodeId behind_views(const Graph& g, NodeId i) {
  while (is_view(g, i)) i = g.in(i, 0);
  return i;
}

/// A leaf, or a view of one: it is there before anything runs.
inline bool is_part_of_leaf(const Graph& g, NodeId i) { return is_leaf(g, behind_views(g, i)); }

/// The same as `behind_views`, of reshapes alone: the same numbers in the same order.
inline NodeId behind_reshapes(const Graph& g, NodeId i) {
  while (g.is<Reshape>(i)) i = g.in(i, 0);
  return i;
}

/// A matrix product of any kind.
inline bool is_product(const Graph& g, NodeId i) { return g.nodes[i].info->product != nullptr; }
/// Which operands of a product are transposed.
inline ProductFact product_of(const Graph& g, NodeId i) { return g.nodes[i].info->product(g.nodes[i].op); }
/// The length of the axis over which a product sums.
inline Index inner_length(const Graph& g, NodeId i) {
  const Shape& a = g.nodes[g.in(i, 0)].shape;
  return product_of(g, i).ta ? a[a.rank() - 2] : a.cols();
}
/// A product by one matrix, that has elements.
inline bool is_product_by_matrix(const Graph& g, NodeId i) {
  return is_product(g, i) && g.nodes[g.in(i, 1)].shape.rank() == 2 && g.nodes[i].shape.size() > 0;
}

/// Whether several of this op, of one second input, are one op of rows below each other.
inline bool rows_are_independent(const Graph& g, NodeId i) {
  const Node& n = g.nodes[i];
  return n.info->rows_are_independent != nullptr && n.info->rows_are_independent(n.op);
}
/// Whether a sum of several of this op is one op of inputs below each other.
inline bool sums_over_rows(const Graph& g, NodeId i) {
  const Node& n = g.nodes[i];
  return n.info->sums_over_rows != nullptr && n.info->sums_over_rows(n.op);
}

/// A concatenation along the first axis.
inline bool is_stack(const Graph& g, NodeId i) { return g.is<Concat>(i) && g.op<Concat>(i).axis == 0; }

/// Whether two nodes are the same op with the same attributes; their inputs may differ.
inline bool same_op(const Graph& g, NodeId a, NodeId b) {
  const Node &x = g.nodes[a], &y = g.nodes[b];
  return x.info == y.info && (x.info->attribute_size == 0 || x.info->equal(x.op, y.op));
}

}  // namespace rw::ir
