#include <algorithm>

#include <rewind/autograd/compile/passes/costs.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {

double cost_of(const Graph& g, NodeId id) {
  const Node& n = g.nodes[id];
  if (is_view(g, id) || is_leaf(g, id) || g.is<Concat>(id)) return 0;
  const double wide = n.dtype == DType::f64 ? 2 : 1;
  Index elements = n.shape.size();
  if (is_product(g, id)) return 0.3 + 1.25e-5 * wide * static_cast<double>(elements * inner_length(g, id));
  if (n.kernel != no_kernel || n.info->elementwise != nullptr)
    return 0.05 + 1.7e-4 * wide * static_cast<double>(elements);
  for (NodeId in : g.in(id)) elements = std::max(elements, g.nodes[in].shape.size());
  return 0.3 + 3e-4 * wide * static_cast<double>(elements);
}

double shared_cost(double cost, int threads) { return cost < 12 ? cost : std::min(cost, 3 + 1.05 * cost / threads); }

}  // namespace rw::ir
