#include <doctest/doctest.h>

#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/feed_back.h>
#include <rewind/models/sequence/recurrent.h>

#include "../layers.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("feed_back is a loop whose gradient flows through the feedback") {
  for_each_cell(3, 3, [](auto cell, auto) {
    const Array first = randoms({2, 3}, 1);
    const auto loss = [&](Tape& tape) {
      return asymmetric(outputs(cell, feed_back(cell, tape.constant(first), cell.zero_state(tape, 2), 3,
                                                [](Tensor y) { return tanh(y * 2); })));
    };
    CHECK(test::first_order_error(cell, loss) < 1e-8);
    CHECK(test::second_order_error(cell, loss) < 1e-7);
    Tape tape(DType::f64);
    auto state = cell.zero_state(tape, 2);
    const auto states = feed_back(cell, tape.constant(first), state, 3, [](Tensor y) { return y; });
    Tensor x = tape.constant(first);
    for (int t = 0; t < 3; ++t) state = cell.step(x, state), x = output(cell, state);
    CHECK(distance(states.back().h, state.h) == 0);
    CHECK(tape.scope_path(tape.node(states[1].h.index()).scope) == cell.name() + "/t=1");
  });
}

TEST_CASE("every topology") {
  for_each_cell(I, I, [](auto cell, auto other) {
    Tape tape;
    const Tensor x = tape.constant(sequence()), lengths = tape.constant(indices_of({2, 4}));
    const auto zero = cell.zero_state(tape, N);
    // one-to-one, one-to-many
    CHECK(output(cell, cell.step(at_step(x, 0), zero)).shape() == Shape{N, I});
    const auto written = feed_back(cell, at_step(x, 0), zero, 6, [](Tensor y) { return y; });
    CHECK(outputs(cell, written).shape() == Shape{6, N, I});
    // many-to-many, delayed: the first output comes after all of the input
    const auto read = unroll(cell, x, zero, {.lengths = lengths});
    const auto start = last_state(cell, read, {.lengths = lengths});
    const Tensor targets = tape.constant(sequence(3));
    const Tensor forced = outputs(other, unroll(other, shifted(targets), start));
    CHECK(forced.shape() == Shape{3, N, I});
    const auto free = feed_back(other, at_step(shifted(targets), 0), start, 3, [](Tensor y) { return y; });
    CHECK(distance(select(outputs(other, free), 0, 0), select(forced, 0, 0)) < 1e-6);
    CHECK(feed_back(other, at_step(x, 0), start, 0, [](Tensor y) { return y; }).empty());
    // many-to-many, synced, and many-to-one
    if constexpr (requires { cell.clone(); }) {
      CHECK(Recurrent(cell.clone())(x, {.lengths = lengths}).shape() == Shape{T, N, I});
      CHECK(Recurrent(both_directions(cell.clone(), other.clone()))(x).shape() == Shape{T, N, 2 * I});
      CHECK(Recurrent(cell.clone(), {.return_sequences = false})(x, zero, {.lengths = lengths}).shape() == Shape{N, I});
    }
  });
}

TEST_CASE("targets are shifted by one") {
  Tape tape;
  CHECK(shifted(tape.constant(Array({1, 2, 3, 4, 5, 6}, {3, 2})), 9).array() == Array({9, 9, 1, 2, 3, 4}, {3, 2}));
  CHECK(shifted(tape.constant(Array({1.0, 2.0}, Shape{2})), 0.5).array() == Array({0.5, 1.0}, Shape{2}).to(DType::f32));
  const Tensor x = tape.variable(Array({1.0, 2.0, 3.0}, Shape{3}));
  CHECK(grad(sum(shifted(x)), x).array() == Array({1.0, 1.0, 0.0}, Shape{3}).to(DType::f32));
}

TEST_CASE("what does not fit is named") {
  Rng rng(1);
  const LstmCell cell(4, 2, rng);
  Tape tape;
  CHECK_THROWS_WITH_AS(shifted(tape.constant(zeros(0, 2))),
                       "shifted: targets are [T, ...] of one step or more, not (0, 2)", Error);
  const auto run = [&](const Array& first, Index batch, Index steps) {
    return feed_back(cell, tape.constant(first), cell.zero_state(tape, batch), steps, [](Tensor y) { return y; });
  };
  CHECK_THROWS_WITH_AS(run(zeros(2, 4), 2, -1), "feed_back: there cannot be -1 steps", Error);
  CHECK_THROWS_WITH_AS(run(zeros(2, 4), 3, 1), doctest::Contains("in lstm/t=0"), Error);
  CHECK_THROWS_WITH_AS(run(zeros(2, 4), 2, 2), doctest::Contains("inner dimensions differ"), Error);
}
