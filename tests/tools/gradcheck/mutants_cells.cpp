// Gradients of unrolled cells broken in one place of one time step: gradcheck has to find it and to name the op, when
// its rule is wrong, or the edge, when the engine loses what a right rule gives.
#include <doctest/doctest.h>

#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "../../effort.h"
#include "mutant.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index steps = 8, batch = 2, in = 2, hidden = 3;
constexpr std::string_view step_on_trial = "t=5";

Array inputs() {
  Array x({steps, batch, in}, DType::f64);
  Rng rng(5);
  for (double& e : x.span<double>()) e = rng.normal();
  return x;
}

template <class C>
Tensor unrolled(Tape& tape, const C& cell) {
  const auto states = unroll(cell, tape.constant(inputs()), cell.zero_state(tape, batch));
  return rw::output(cell, states.back());
}

struct Counts {
  int mutants = 0, caught = 0, named = 0;
};

template <class C>
void try_mutation(const C& cell, const Mutation& mutation, const std::string& scope, Counts& counts) {
  begin_trial(mutation);
  const auto f = [&](Tape& tape) {
    const Tensor y = unrolled(tape, cell);
    mutate(tape);
    return y;
  };
  const GradReport report = gradcheck(f, {cell.parameter("W"), cell.parameter("R")}, {.elements = 4, .directions = 1});
  if (trial().fired == 0) return;  // no such input, or none that needs a gradient
  ++counts.mutants;
  const bool edge = mutation.where == Where::in_large_graph;
  const bool caught = report.verdict == Verdict::wrong;
  const bool named = !report.faults.empty() && report.faults[0].node == mutation.node &&
                     report.faults[0].op == mutation.original->name && report.faults[0].scope == scope &&
                     report.faults[0].input == mutation.input &&
                     report.faults[0].kind == (edge ? GradFault::Kind::edge : GradFault::Kind::rule);
  counts.caught += caught ? 1 : 0;
  counts.named += named ? 1 : 0;
  INFO(mutation.str() << (edge ? " (edge)" : "") << " at node " << mutation.node << ", " << scope << "\n" << report);
  CHECK(caught);
  CHECK(named);
}

template <class C>
void try_cell(const std::string& name, const C& cell, Counts& all) {
  Tape tape(DType::f64);
  unrolled(tape, cell);
  REQUIRE(tape.size() > large_graph);
  Counts counts;
  for (NodeId i = 0; i < tape.size(); ++i) {
    const Node& n = tape.node(i);
    const std::string scope = tape.scope_path(n.scope);
    if (n.role != Role::op || !n.needs_grad || !scope.ends_with(step_on_trial)) continue;
    const bool part = n.info == &op_info<Slice>() && n.shape.rank() == 2;
    for (int input = 0; input < static_cast<int>(n.arity); ++input) {
      // Lost, or there twice: one time step's contribution. A rule that drops it: of a slice, a gate's gradient.
      try_mutation(cell, {n.info, Fault::drop, input, Where::in_large_graph, i}, scope, counts);
      try_mutation(cell, {n.info, Fault::twice, input, Where::in_large_graph, i}, scope, counts);
      try_mutation(cell, {n.info, Fault::drop, input, Where::everywhere, i}, scope, counts);
      try_mutation(cell, {n.info, Fault::factor, input, Where::everywhere, i}, scope, counts);
      // Of an LSTM: input gate and forget gate.
      if (part) try_mutation(cell, {n.info, Fault::swap_parts, input, Where::everywhere, i}, scope, counts);
    }
  }
  MESSAGE(name << ", " << steps << " steps: " << counts.mutants << " mutants of one step, " << counts.caught
               << " caught, " << counts.named << " named by node, input and scope");
  CHECK(counts.mutants >= 4);
  CHECK(counts.caught == counts.mutants);
  CHECK(counts.named == counts.caught);
  all.mutants += counts.mutants;
}

}  // namespace

TEST_CASE("mutants of unrolled cells") {
  Rng rng(3);
  Counts all;
  try_cell("rnn", RnnCell(in, hidden, rng), all);
  if (!rw::test::full()) return;  // the larger two find the same faults
  try_cell("lstm", LstmCell(in, hidden, rng), all);
  try_cell("gru", GruCell(in, hidden, rng), all);
  CHECK(all.mutants > 100);
}
