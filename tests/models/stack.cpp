#include <doctest/doctest.h>

#include <rewind/models/gru_cell.h>
#include <rewind/models/stack.h>

#include "sequence.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("a stack unrolled layer by layer is the stack step by step") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  stack.to(DType::f64);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence());
  const auto states = unroll(stack, x, stack.zero_state(tape, N));
  auto state = stack.zero_state(tape, N);
  for (Index t = 0; t < T; ++t) state = stack.step(select(x, 0, t), state);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    CHECK(distance(states.back().layers[layer].h, state.layers[layer].h) < 1e-14);
    CHECK(distance(states.back().layers[layer].c, state.layers[layer].c) < 1e-14);
  }
  CHECK(outputs(stack, states).shape() == Shape{T, N, H + 1});
  CHECK(tape.scope_path(tape.node(states[2].layers[1].h.index()).scope) == "stack/layer1/t=2");
  CHECK(stack.parameters()[3].name == "layer1.W");
}

TEST_CASE("a stack passes the check of gradients, of both orders") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  const Array x = sequence(2);
  const auto loss = [&](Tape& tape) {
    const auto states = unroll(stack, tape.constant(x), stack.zero_state(tape, N));
    return asymmetric(outputs(stack, states)) + asymmetric(states.back().layers[0].c);
  };
  CHECK(test::first_order_error(stack, loss) < 1e-8);
  CHECK(test::second_order_error(stack, loss) < 1e-7);
}

TEST_CASE("dropout acts between layers, in training only") {
  Rng rng(1);
  auto stack = two_layers(rng, 0.5);
  const Array x = sequence();
  const auto run = [&](std::uint64_t seed, bool by_steps) {
    Tape tape(TapeOptions{.seed = seed});
    const Tensor in = tape.constant(x);
    auto state = stack.zero_state(tape, N);
    if (!by_steps) return unroll(stack, in, state).back().layers[1].h.array();
    for (Index t = 0; t < T; ++t) state = stack.step(select(in, 0, t), state);
    return state.layers[1].h.array();
  };
  for (const bool by_steps : {false, true}) {
    CHECK(run(1, by_steps) == run(1, by_steps));
    CHECK_FALSE(run(1, by_steps) == run(2, by_steps));
  }
  stack.eval();
  CHECK(run(1, false) == run(2, false));
  CHECK_THROWS_AS(two_layers(rng, 1), Error);
  CHECK_THROWS_AS(Stack<LstmCell>({}), Error);
}

TEST_CASE("clones of cells and stacks give the same outputs") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  const auto copy = stack.clone();
  const GruCell gru(I, H, rng, {.bias = Bias::two, .reset = GruOptions::Reset::before});
  const GruCell gru_copy = gru.clone();
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(distance(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))),
                 outputs(copy, unroll(copy, x, copy.zero_state(tape, N)))) == 0);
  CHECK(distance(outputs(unroll(gru, x, gru.zero_state(tape, N))),
                 outputs(unroll(gru_copy, x, gru_copy.zero_state(tape, N)))) == 0);
}
