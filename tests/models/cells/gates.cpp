#include <doctest/doctest.h>

#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gates.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/mgu.h>
#include <rewind/models/sequence/stack.h>

#include "../sequence.h"

using namespace rw;
using namespace rw::test;

namespace {

std::vector<std::string> names_of(const AnyCell& cell) {
  const auto names = cell.gate_names();
  return {names.begin(), names.end()};
}

// A user's cell that shows its gate, and no projection.
class LeakyCell {
 public:
  struct State {
    Tensor h;
  };
  struct Gates {
    Tensor rate;
  };
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, I})}; }
  State step(Tensor x, const State& s) const { return step_gates(x, s).state; }
  StepWithGates<State, Gates> step_gates(Tensor x, const State& s) const {
    const Tensor rate = sigmoid(x);
    return {{s.h + rate * (x - s.h)}, {rate}};
  }
};
static_assert(CellWithGates<LeakyCell> && !CellWithGates<UgrnnCell>);

}  // namespace

TEST_CASE("the gates of every step, as views of what the step recorded") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape, plain;
  const auto states = unroll(cell, plain.constant(sequence()), cell.zero_state(plain, N));
  const auto steps = unroll_gates(cell, tape.constant(sequence()), cell.zero_state(tape, N));
  REQUIRE(steps.size() == T);
  CHECK(tape.size() == plain.size());  // nothing more was recorded
  for (std::size_t t = 0; t < T; ++t) {
    const auto& [i, f, g, o] = steps[t].gates;
    CHECK(steps[t].state.h.array() == states[t].h.array());
    const Tensor before = t == 0 ? cell.zero_state(tape, N).c : steps[t - 1].state.c;
    CHECK(distance(steps[t].state.c, f * before + i * g) < 1e-6);
    CHECK(distance(steps[t].state.h, o * tanh(steps[t].state.c)) < 1e-6);
    CHECK(tape.scope_path(tape.node(f.index()).scope) == "lstm/t=" + std::to_string(t));
    CHECK(f.value().data == tape.node(f.index()).data);
  }
  CHECK(LstmCell::Gates::names[1] == "f");
  CHECK(unroll_gates(cell, tape.constant(sequence(0)), cell.zero_state(tape, N)).empty());
  CHECK_THROWS_AS(unroll_gates(cell, tape.constant(zeros(T)), cell.zero_state(tape, N)), Error);
}

TEST_CASE("gates of coupled and of missing forget gates") {
  Rng rng(1);
  const LstmCell coupled(I, H, rng, {.coupled = true}), carousel(I, H, rng, {.forget_gate = false});
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto gates = unroll_gates(coupled, x, coupled.zero_state(tape, N)).back().gates;
  CHECK(distance(gates.f, 1 - gates.i) == 0);
  CHECK_FALSE(unroll_gates(carousel, x, carousel.zero_state(tape, N)).back().gates.f.valid());
}

TEST_CASE("gates in reverse, and of sequences of unequal length") {
  Rng rng(1);
  const GruCell cell(I, H, rng);
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto steps = unroll_gates(cell, x, cell.zero_state(tape, N), {.reverse = true});
  const auto& [r, z, n] = steps[T - 1].gates;  // of the first step that was run
  CHECK(distance(steps[T - 1].state.h, (1 - z) * n) < 1e-6);
  const Tensor lengths = tape.constant(Array({1, 4}, {N}));
  const auto padded = unroll_gates(cell, x, cell.zero_state(tape, N), {.lengths = lengths});
  const auto states = unroll(cell, x, cell.zero_state(tape, N), {.lengths = lengths});
  for (std::size_t t = 0; t < T; ++t) {
    CHECK(distance(padded[t].state.h, states[t].h) == 0);
    CHECK(padded[t].gates.r.shape() == Shape{N, H});
  }
}

TEST_CASE("a user's cell shows its gates") {
  const LeakyCell cell;
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto steps = unroll_gates(cell, x, cell.zero_state(tape, N));
  CHECK(distance(steps[2].gates.rate, sigmoid(at_step(x, 2))) == 0);
  CHECK(gate_names(cell).empty());
}

TEST_CASE("a stack shows the gates of each layer") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  stack.to(DType::f64);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence());
  const auto steps = unroll_gates(stack, x, stack.zero_state(tape, N));
  const auto states = unroll(stack, x, stack.zero_state(tape, N));
  for (std::size_t layer = 0; layer < 2; ++layer) {
    CHECK(distance(steps[3].state.layers[layer].h, states[3].layers[layer].h) < 1e-14);
    const auto& [i, f, g, o] = steps[3].gates.layers[layer];
    CHECK(distance(steps[3].state.layers[layer].c, f * steps[2].state.layers[layer].c + i * g) < 1e-14);
  }
  static_assert(CellWithGates<Stack<AnyCell>> && !CellWithGates<Stack<UgrnnCell>>);
}

TEST_CASE("AnyCell shows the gates of the cell it holds, by name") {
  using Names = std::vector<std::string>;
  Rng rng(1);
  CHECK(names_of(make_cell("lstm", I, H, rng)) == Names{"i", "f", "g", "o"});
  CHECK(names_of(make_cell("gru+zoneout=0.1+learned", I, H, rng)) == Names{"r", "z", "n"});
  CHECK(names_of(make_cell("mgu", I, H, rng)) == Names{"f", "n"});
  CHECK(names_of(make_cell("rnn", I, H, rng)).empty());
  CHECK(names_of(make_cell("jordan", I, H, rng)) == Names{"h"});
  CHECK(names_of(AnyCell(UgrnnCell(I, H, rng))).empty());

  Rng a(2), b(2);
  const LstmCell plain(I, H, a);
  const AnyCell any = make_cell("lstm", I, H, b);
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto expected = unroll_gates(plain, x, plain.zero_state(tape, N)).back().gates;
  const auto found = unroll_gates(any, x, any.zero_state(tape, N)).back().gates;
  REQUIRE(found.tensors.size() == 4);
  CHECK(distance(found.tensors[1], expected.f) == 0);
  CHECK(distance(found.tensors[3], expected.o) == 0);
  const AnyCell own{UgrnnCell(I, H, rng)};
  CHECK(unroll_gates(own, x, own.zero_state(tape, N)).back().gates.tensors.empty());
}

TEST_CASE("step_seeing: matrices see another h, the memory stays the state's") {
  Rng rng(1);
  const GruCell gru(I, H, rng);
  const UgrnnCell own(I, H, rng);
  gru.parameter("b").set([&] {
    Array b = gru.parameter("b").value();
    for (Index k = H; k < 2 * H; ++k) b.span<float>()[static_cast<std::size_t>(k)] = 1000;  // z = 1: keep
    return b;
  }());
  Tape tape;
  const Tensor x = tape.constant(at_step(tape.constant(sequence()), 0).array());
  const Tensor h = tape.constant(full({N, H}, 0.5)), seen = tape.constant(full({N, H}, -0.25));
  CHECK(distance(step_seeing(gru, gru.project(x), {h}, seen).h, h) < 1e-6);
  CHECK(distance(step_seeing(gru, gru.project(x), {h}, h).h, gru.step(x, {h}).h) == 0);
  CHECK(distance(step_seeing(own, x, {h}, seen).h, own.step(x, {seen}).h) == 0);
  const AnyCell any{gru.clone()};
  AnyCell::State state = any.zero_state(tape, N);
  state.tensors[0] = h;
  CHECK(distance(any.output(step_seeing(any, any.project(x), state, seen)), h) < 1e-6);
}
