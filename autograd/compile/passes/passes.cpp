#include <array>
#include <optional>
#include <string>

#include <rewind/autograd/compile/budget/budget.h>
#include <rewind/autograd/compile/passes/check_values.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
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

using Options = CompileOptions;

bool has_bf16_products(const Options& options) { return options.matmul == Precision::bf16; }
// oneDNN's own memory serves one bf16 product at a time.
bool may_overlap(const Options& options) { return !has_bf16_products(options) || !rw::detail::bf16_is_faster(); }

bool has_budget(const Options& options) { return options.memory.has_value(); }
// Chunks let another layer begin earlier, on a thread of its own: with a budget the blocks are in their place.
bool may_chunk(const Options& options) { return may_overlap(options) && !has_budget(options); }
// With a budget what is kept is chosen there.
bool may_rematerialize(const Options& options) { return !has_budget(options); }
// What lanes use is alive as long as their section: with a budget, that would be much.
bool may_share_out(const Options& options) { return may_overlap(options) && !has_budget(options); }

template <Graph (*pass)(const Graph&)>
Graph without_notes(const Graph& g, const Options&, Notes&) {
  return pass(g);
}
template <Graph (*pass)(const Graph&, Notes&)>
Graph with_notes(const Graph& g, const Options&, Notes& notes) {
  return pass(g, notes);
}
Graph chunk_products(const Graph& g, const Options& options, Notes& notes) {
  return chunk(g, choices_of(options), notes);
}
// Of few terms, too, with a budget: none of them waits for the others then.
Graph running_sums_of(const Graph& g, const Options& options, Notes& notes) {
  constexpr std::uint32_t few = 8, pair = 2;
  return running_sums(g, has_budget(options) ? pair : few, notes);
}
Graph rematerialized(const Graph& g, const Options& options, Notes&) {
  return rematerialize(g, static_cast<Rematerialize>(choices_of(options).rematerialize));
}
Graph schedule_threads(const Graph& g, const Options& options, Notes& notes) {
  const Choices choices = choices_of(options);
  return schedule(g, choices.one_thread != 0 ? 1 : threads(), choices, notes);
}

constexpr Passes batch_and_simplify = Passes(Pass::batch) | Pass::simplify;
constexpr Passes batch_and_place = Passes(Pass::batch) | Pass::place;

constexpr std::array<GraphPass, 16> passes{{
    {"sort", without_notes<sorted>, Passes::none(), nullptr, true, ""},
    {"simplify", without_notes<simplify>, Pass::simplify, nullptr, true, "sort"},
    {"slice_inputs", without_notes<slice_inputs>, Pass::fuse, nullptr, true, "sort"},
    {"round_products", without_notes<round_products>, Passes::none(), has_bf16_products, false, "sort", true},
    {"batch", with_notes<batch>, Pass::batch, nullptr, false, "sort"},
    {"simplify", without_notes<simplify>, batch_and_simplify, nullptr, true, "batch"},
    {"join_matrices", with_notes<join_matrices>, batch_and_simplify, nullptr, false, "batch"},
    {"blocks", with_notes<blocks>, batch_and_simplify, has_budget, false, "join_matrices"},
    {"stacks_to_slices", without_notes<stacks_to_slices>, batch_and_place, nullptr, true, "batch"},
    {"simplify", without_notes<simplify>, Pass::simplify, nullptr, true, "sort"},
    {"chunk", chunk_products, Pass::chunk, may_chunk, false, "sort"},
    {"own_outputs", without_notes<own_outputs>, Passes::none(), nullptr, true, "sort"},
    {"rematerialize", rematerialized, Pass::fuse, may_rematerialize, true, "own_outputs"},
    {"running_sums", running_sums_of, Pass::fuse, nullptr, true, "own_outputs"},
    {"fuse", without_notes<fuse>, Pass::fuse, nullptr, true, "running_sums"},
    {"schedule", schedule_threads, Pass::branch, may_share_out, true, "own_outputs"},
}};

}  // namespace

Graph own_outputs(const Graph& g) {
  Graph out = g;
  for (NodeId& o : out.outputs) {
    if (is_part_of_leaf(out, o)) o = out.add(Copy{}, {o}, Node(out.nodes[o]));
  }
  return sorted(std::move(out));
}

std::span<const GraphPass> graph_passes() { return passes; }

namespace {

/// The graph on its way through the passes. Each is checked, when that is asked for: form first, then values.
class Optimiser {
 public:
  Optimiser(Graph g, bool check) : g_(std::move(g)) {
    if (check) values_.emplace(g_);
  }

  void run(const GraphPass& pass, const CompileOptions& options, Notes& notes) {
    Graph next = pass.run(g_, options, notes);
    notes.passes.push_back({pass.name, g_.size(), next.size()});
    if (values_.has_value()) check(pass, next);
    g_ = std::move(next);
  }
  Graph result() && { return std::move(g_); }

 private:
  void check(const GraphPass& pass, const Graph& next) {
    try {
      verify(next);
    } catch (const Error& e) {
      throw Error("compile: after " + std::string(pass.name) + ": " + e.what());
    }
    if (pass.rounds)
      values_.emplace(next);
    else
      values_->follow(g_, next, pass.name, pass.keeps_bits);
  }

  Graph g_;
  std::optional<ValueCheck> values_;
};

}  // namespace

// Behind all of them: what a plan keeps, and what it computes again.
constexpr GraphPass budget{"budget", within_budget, Passes::none(), has_budget, true, "sort"};

Graph optimise(Graph g, const CompileOptions& options, Notes& notes) {
  Optimiser optimiser(std::move(g), options.verify || always_verify);
  for (const GraphPass& pass : passes)
    if (options.passes.has(pass.switches) && (pass.when == nullptr || pass.when(options)))
      optimiser.run(pass, options, notes);
  if (budget.when(options)) optimiser.run(budget, options, notes);
  return std::move(optimiser).result();
}

}  // namespace rw::ir
