#include <doctest/doctest.h>

#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/lookup.h>

#include "../sequence.h"

using namespace rw;
using namespace rw::test;

namespace {

// A cell that is no module and keeps a history.
struct DelayCell {
  struct State {
    std::array<Tensor, 2> past;
    std::vector<Tensor> sums;
  };
  State zero_state(Tape& tape, Index batch) const {
    const Tensor zero = tape.constant(0.0, {batch, I});
    return {{zero, zero}, {zero}};
  }
  State step(Tensor x, const State& s) const { return {{x, s.past[0]}, {s.sums[0] + x}}; }
  Tensor output(const State& s) const { return s.past[1]; }
};
static_assert(Cell<DelayCell>);

}  // namespace

TEST_CASE("unroll is a loop over step") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array x = sequence();
  Tape tape;
  const Tensor all = tape.constant(x);
  const auto states = unroll(cell, all, cell.zero_state(tape, N));
  REQUIRE(states.size() == T);
  auto state = cell.zero_state(tape, N);
  for (Index t = 0; t < T; ++t) {
    state = cell.step(select(all, 0, t), state);
    CHECK(distance(states[static_cast<std::size_t>(t)].h, state.h) < 1e-6);
    CHECK(distance(states[static_cast<std::size_t>(t)].c, state.c) < 1e-6);
  }
  const Tensor y = outputs(states);
  CHECK(y.shape() == Shape{T, N, H});
  CHECK(distance(select(y, 0, -1), states.back().h) == 0);
  CHECK(distance(y, outputs(cell, states)) == 0);
  CHECK(unroll(cell, tape.constant(sequence(0)), cell.zero_state(tape, N)).empty());
  CHECK_THROWS_AS(outputs(std::vector<LstmCell::State>()), Error);
}

TEST_CASE("every op of a step stands in the cell's scope and the step's") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape;
  const auto states = unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N));
  CHECK(tape.scope_path(tape.node(states[3].h.index()).scope) == "lstm/t=3");
  CHECK(tape.scope_path(tape.node(states[0].c.index()).scope) == "lstm/t=0");
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(zeros(T)), cell.zero_state(tape, N)),
                       "unroll: a sequence is [T, N, features] or [T, N] of indices, not (4)", Error);
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(sequence(T, I + 1)), cell.zero_state(tape, N)),
                       "[matmul] inner dimensions differ: (4, 2, 4) x (3, 20), in lstm", Error);
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N + 1)),
                       "[unroll] a state (3, 5) of batch 3 does not fit a sequence (4, 2, 3) of batch 2"
                       " (sequences are time-major: [T, N, features]), in lstm",
                       Error);
}

TEST_CASE("an index stands for the one-hot row of its value") {
  Rng rng(1);
  const GruCell cell(I, H, rng);
  const Array indices({0, 2, 1, 1, 2, 0, 0, 1}, {T, N});
  const auto loss = [&](Tensor x) { return asymmetric(outputs(unroll(cell, x, cell.zero_state(x.tape(), N)))); };
  cell.to(DType::f64);
  Tape tape(DType::f64);
  const Tensor by_index = loss(tape.constant(indices)), by_row = loss(one_hot(tape.constant(indices), I));
  CHECK(by_index.item() == doctest::Approx(by_row.item()).epsilon(1e-13));
  CHECK(distance(grad(by_index, cell.parameter("W")), grad(by_row, cell.parameter("W"))) < 1e-13);
  CHECK_THROWS_AS(loss(tape.constant(Array({0, 1, 2, 3}, {2, 2}))), Error);
}

TEST_CASE("gradients reach the initial state and the input") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape(DType::f64);
  const Tensor x = tape.variable(sequence()), h = tape.variable(full({N, H}, 0.1));
  const auto states = unroll(cell, x, {.h = h, .c = h});
  const auto g = grad(asymmetric(states.back().h), {x, h});
  CHECK(g[0].shape() == x.shape());
  for (const double v : g[0].array().to_vector<double>()) CHECK(v != 0);
  for (const double v : g[1].array().to_vector<double>()) CHECK(v != 0);
}

TEST_CASE("a user's cell works as the library's do") {
  Rng rng(1);
  const UgrnnCell cell(I, H, rng);
  const Array x = sequence();
  const auto loss = [&](Tape& tape) {
    return asymmetric(outputs(unroll(cell, tape.constant(x), cell.zero_state(tape, N))));
  };
  CHECK(test::first_order_error(cell, loss) < 1e-8);
  CHECK(test::second_order_error(cell, loss) < 1e-7);
}

TEST_CASE("states of arrays and vectors, and cells that are no modules") {
  const DelayCell cell;
  Tape tape;
  const Array x = sequence();
  const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, N));
  const Tensor y = outputs(cell, states);
  CHECK(distance(select(y, 0, 3), select(tape.constant(x), 0, 2)) == 0);
  CHECK(tensor_count(states[0]) == 3);
  int visited = 0;
  for_each_tensor(states[0], [&](const Tensor& t) { visited += t.valid() ? 1 : 0; });
  CHECK(visited == 3);

  const SavedState saved = save_state(states.back());
  REQUIRE(saved.size() == 3);
  Tape other;
  const auto back = restore_state(other, saved, cell.zero_state(other, N));
  CHECK(back.sums[0].array() == states.back().sums[0].array());
  CHECK(back.past[1].array() == states.back().past[1].array());
  CHECK_THROWS_WITH_AS(restore_state(other, SavedState(2), cell.zero_state(other, N)),
                       "a saved state of 2 tensors does not fit a state of 3", Error);
  CHECK_THROWS_WITH_AS(restore_state(other, saved, cell.zero_state(other, N + 1)),
                       "tensor 0 of a saved state is (2, 3); the cell's is (3, 3)", Error);
}

TEST_CASE("detach_state cuts the graph") {
  Rng rng(1);
  const RnnCell cell(I, H, rng);
  Tape tape;
  const auto state = unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N)).back();
  CHECK(state.h.needs_grad());
  const auto cut = detach_state(state);
  CHECK_FALSE(cut.h.needs_grad());
  CHECK(distance(cut.h, state.h) == 0);
}
