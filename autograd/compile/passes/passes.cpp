#include <optional>
#include <string>

#include <rewind/autograd/compile/passes/check_values.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/core/error.h>
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

namespace {

/// The graph on its way through the passes. Each is checked, when that is asked for: form first, then values.
class Optimiser {
 public:
  Optimiser(Graph g, bool check) : g_(std::move(g)) {
    if (check) values_.emplace(g_);
  }

  enum class Bits { kept, other, unrelated };  // unrelated: it rounds on purpose
  void run(std::string_view pass, Bits bits, Graph next) {
    if (values_.has_value()) check(pass, bits, next);
    g_ = std::move(next);
  }
  const Graph& graph() const { return g_; }

 private:
  void check(std::string_view pass, Bits bits, const Graph& next) {
    try {
      verify(next);
    } catch (const Error& e) {
      throw Error("compile: after " + std::string(pass) + ": " + e.what());
    }
    if (bits == Bits::unrelated)
      values_.emplace(next);
    else
      values_->follow(g_, next, pass, bits == Bits::kept);
  }

  Graph g_;
  std::optional<ValueCheck> values_;
};

}  // namespace

Graph optimise(Graph traced, const CompileOptions& options, Notes& notes) {
  using enum Optimiser::Bits;
  // oneDNN's own memory serves one bf16 product at a time.
  const bool one_at_a_time = options.matmul == Precision::bf16 && rw::detail::bf16_is_faster();
  const auto has = [&](Pass pass) { return options.passes.has(pass); };
  Optimiser o(std::move(traced), options.verify || always_verify);
  const auto& g = o.graph();
  o.run("sorting", kept, sorted(g));
  if (has(Pass::simplify)) o.run("simplify", kept, simplify(g));
  if (has(Pass::fuse)) o.run("push_slices", kept, push_slices(g));
  if (options.matmul == Precision::bf16) o.run("round_products", unrelated, round_products(g));
  if (has(Pass::batch)) {
    o.run("batch", other, batch(g, notes));
    if (has(Pass::simplify)) o.run("simplify", kept, simplify(g));
    if (has(Pass::simplify)) o.run("widen", other, widen(g, notes));
    if (has(Pass::place)) o.run("share_stacks", kept, share_stacks(g));
  }
  if (has(Pass::simplify) && (has(Pass::fuse) || has(Pass::batch))) o.run("simplify", kept, simplify(g));
  if (has(Pass::chunk) && !one_at_a_time) o.run("chunk", other, chunk(g, options.branch_from, notes));
  o.run("own_outputs", kept, sorted(own_outputs(g)));
  if (has(Pass::fuse)) {
    o.run("split_sums", kept, split_sums(g));
    o.run("fuse", kept, fuse(g));
  }
  if (has(Pass::branch) && !one_at_a_time) o.run("schedule", kept, schedule(g, threads(), options.branch_from, notes));
  return g;
}

}  // namespace rw::ir
