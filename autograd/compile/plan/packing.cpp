#include <algorithm>
#include <unordered_set>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/plan/packing.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/gemm/packed.h>

namespace rw::ir {

bool is_same_all_along(const Graph& g, NodeId matrix) {
  const auto is_given = [&](NodeId i) {
    i = behind_views(g, i);
    return is_leaf(g, i) && g.nodes[i].role != Role::input;
  };
  const NodeId whole = behind_views(g, matrix);
  if (!g.is<Concat>(whole)) return is_given(whole);
  const auto in = g.in(whole);
  return std::all_of(in.begin(), in.end(), is_given);
}

std::size_t bytes_packed(const Graph& g, const CompileOptions& options) {
  if (!options.passes.has(Pass::pack)) return 0;
  const auto most_rows = static_cast<Index>(choices_of(options).packed_rows);
  std::unordered_set<std::uint64_t> known;
  std::size_t bytes = 0;
  for (NodeId i = 0; i < g.size(); ++i) {
    if (!is_product_by_matrix(g, i) || g.nodes[i].dtype != DType::f32) continue;
    const ProductFact fact = product_of(g, i);
    const Index n = g.nodes[i].shape.cols(), k = inner_length(g, i);
    if (!detail::suits_packed_gemm(fact.tb, g.nodes[i].shape.rows(), n, k, most_rows) ||
        !is_same_all_along(g, g.in(i, 1)))
      continue;
    if (known.insert(matrix_key(g.in(i, 1), fact.tb)).second)
      bytes += static_cast<std::size_t>(detail::packed_size(k, n)) * sizeof(float);
  }
  return bytes;
}

}  // namespace rw::ir
