#include <algorithm>

#include <rewind/autograd/compile/passes/costs.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {

double cost_of(const Graph& g, NodeId id, const Costs& costs) {
  const Node& n = g.nodes[id];
  if (is_view(g, id) || is_leaf(g, id) || g.is<Concat>(id)) return 0;
  const bool f64 = n.dtype == DType::f64;
  const double wide = f64 ? 2 : 1;
  Index elements = n.shape.size();
  if (is_product(g, id)) {
    const double one_row = costs.of_one_row * wide, some_rows = f64 ? costs.of_f64 : costs.multiplication;
    return costs.product +
           (n.shape.rows() == 1 ? one_row : some_rows) * static_cast<double>(elements * inner_length(g, id));
  }
  if (n.kernel != no_kernel || n.info->elementwise != nullptr)
    return costs.kernel + costs.element * wide * static_cast<double>(elements);
  for (NodeId in : g.in(id)) elements = std::max(elements, g.nodes[in].shape.size());
  return costs.other + costs.other_element * wide * static_cast<double>(elements);
}

// Below four hand-overs a kernel is not shared; and two threads are not quite twice as fast.
double shared_cost(double cost, int threads, const Costs& costs) {
  return cost < 4 * costs.hand_over ? cost : std::min(cost, costs.hand_over + 1.05 * cost / threads);
}

}  // namespace rw::ir
