#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/core/gemm/bf16.h>
#include <rewind/core/threads.h>

namespace rw::ir {
namespace {

#ifdef NDEBUG
constexpr bool always_verify = false;
#else
constexpr bool always_verify = true;
#endif

// Results must stand in the plan's memory: not in an argument's, a parameter's or a constant's.
Graph own_outputs(Graph g) {
  for (NodeId& o : g.outputs) {
    NodeId root = o;
    while (g.nodes[root].info->alias != nullptr) root = g.in(root, 0);
    if (!computes(*g.nodes[root].info)) o = g.add(Copy{}, {o}, Node(g.nodes[o]));
  }
  return g;
}

}  // namespace

Graph optimise(Graph g, const CompileOptions& options, Notes& notes) {
  // oneDNN's own memory serves one bf16 product at a time.
  const bool one_at_a_time = options.matmul == Precision::bf16 && rw::detail::bf16_is_faster();
  const auto checked = [&](Graph next) {
    if (options.verify || always_verify) verify(next);
    return next;
  };
  g = checked(sorted(g));
  if (options.passes.has(Pass::simplify)) g = checked(simplify(g));
  if (options.passes.has(Pass::fuse)) g = checked(push_slices(g));
  if (options.matmul == Precision::bf16) g = checked(round_products(g));
  if (options.passes.has(Pass::batch)) {
    g = checked(batch(g, notes));
    if (options.passes.has(Pass::simplify)) g = checked(widen(simplify(g), notes));
    if (options.passes.has(Pass::place)) g = checked(share_stacks(g));
  }
  if (options.passes.has(Pass::simplify) && (options.passes.has(Pass::fuse) || options.passes.has(Pass::batch)))
    g = checked(simplify(g));
  if (options.passes.has(Pass::chunk) && !one_at_a_time) g = checked(chunk(g, options.branch_from, notes));
  g = checked(sorted(own_outputs(std::move(g))));
  if (options.passes.has(Pass::fuse)) g = checked(fuse(checked(split_sums(g))));
  if (options.passes.has(Pass::branch) && !one_at_a_time)
    g = checked(schedule(g, threads(), options.branch_from, notes));
  return g;
}

}  // namespace rw::ir
