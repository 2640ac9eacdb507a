#include <array>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
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

template <Graph (*pass)(const Graph&)>
Graph without_notes(const Graph& g, const Options&, Notes&) {
  return pass(g);
}
template <Graph (*pass)(const Graph&, Notes&)>
Graph with_notes(const Graph& g, const Options&, Notes& notes) {
  return pass(g, notes);
}
Graph chunk_from(const Graph& g, const Options& options, Notes& notes) { return chunk(g, options.branch_from, notes); }
Graph schedule_threads(const Graph& g, const Options& options, Notes& notes) {
  return schedule(g, threads(), options.branch_from, notes);
}

constexpr Passes batch_and_simplify = Passes(Pass::batch) | Pass::simplify;
constexpr Passes batch_and_place = Passes(Pass::batch) | Pass::place;

constexpr std::array<GraphPass, 14> passes{{
    {"sort", without_notes<sorted>, Passes::none(), nullptr, true, ""},
    {"simplify", without_notes<simplify>, Pass::simplify, nullptr, true, "sort"},
    {"push_slices", without_notes<push_slices>, Pass::fuse, nullptr, true, "sort"},
    {"round_products", without_notes<round_products>, Passes::none(), has_bf16_products, false, "sort"},
    {"batch", with_notes<batch>, Pass::batch, nullptr, false, "sort"},
    {"simplify", without_notes<simplify>, batch_and_simplify, nullptr, true, "batch"},
    {"widen", with_notes<widen>, batch_and_simplify, nullptr, false, "batch"},
    {"share_stacks", without_notes<share_stacks>, batch_and_place, nullptr, true, "batch"},
    {"simplify", without_notes<simplify>, Pass::simplify, nullptr, true, "sort"},
    {"chunk", chunk_from, Pass::chunk, may_overlap, false, "sort"},
    {"own_outputs", without_notes<own_outputs>, Passes::none(), nullptr, true, "sort"},
    {"split_sums", without_notes<split_sums>, Pass::fuse, nullptr, true, "own_outputs"},
    {"fuse", without_notes<fuse>, Pass::fuse, nullptr, true, "split_sums"},
    {"schedule", schedule_threads, Pass::branch, may_overlap, true, "own_outputs"},
}};

}  // namespace

Graph own_outputs(const Graph& g) {
  Graph out = g;
  for (NodeId& o : out.outputs) {
    if (is_part_of_leaf(out, o)) o = out.add(Copy{}, {o}, Node(out.nodes[o]));
  }
  return sorted(out);
}

std::span<const GraphPass> graph_passes() { return passes; }

Graph optimise(Graph g, const CompileOptions& options, Notes& notes) {
  for (const GraphPass& pass : passes) {
    if (!options.passes.has(pass.switches) || (pass.when != nullptr && !pass.when(options))) continue;
    Graph next = pass.run(g, options, notes);
    if (options.verify || always_verify) verify(next);
    notes.passes.push_back({pass.name, g.size(), next.size()});
    g = std::move(next);
  }
  return g;
}

}  // namespace rw::ir
