#include <doctest/doctest.h>

#include <rewind/models/cells/gru.h>
#include <rewind/models/sequence/stack.h>

#include "../layers.h"

using namespace rw;
using namespace rw::test;

namespace {

// Three layers; what each reads follows from the options.
template <class C>
Stack<C> three_layers(std::initializer_list<Index> widths, const StackOptions& options, Index in = I) {
  Rng rng(1);
  std::vector<C> layers;
  Index below = in;
  for (Index width : widths) {
    layers.emplace_back(below, width, rng);
    below = width + (options.skip_input ? in : 0);
  }
  return Stack<C>(std::move(layers), options);
}

}  // namespace

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
  const GruCell gru(I, H, rng, {.reset = GruOptions::Reset::before}, {.bias = Bias::two});
  const GruCell gru_copy = gru.clone();
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(distance(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))),
                 outputs(copy, unroll(copy, x, copy.zero_state(tape, N)))) == 0);
  CHECK(distance(outputs(unroll(gru, x, gru.zero_state(tape, N))),
                 outputs(unroll(gru_copy, x, gru_copy.zero_state(tape, N)))) == 0);
}

TEST_CASE("skips and residuals are what they say, step by step and layer by layer") {
  for_each_cell(1, 1, []<class C>(const C&, const C&) {
    Tape tape;
    const Tensor x = tape.constant(sequence());
    for (const bool skip_input : {false, true})
      for (const bool skip_output : {false, true})
        for (const bool residual : {false, true}) {
          const StackOptions options{.skip_input = skip_input, .skip_output = skip_output, .residual = residual};
          const auto stack = three_layers<C>({H, residual ? H : H + 1, residual ? H : 2}, options);
          std::vector<Tensor> all;
          Tensor below = x;
          for (std::size_t i = 0; i < stack.depth(); ++i) {
            const C& layer = stack.layer(i);
            const Tensor in = i > 0 && skip_input ? concat({below, x}, -1) : below;
            const Tensor out = outputs(layer, unroll(layer, in, layer.zero_state(tape, N)));
            below = i > 0 && residual ? below + out : out;
            all.push_back(below);
          }
          const Tensor expected = skip_output ? concat(std::span<const Tensor>(all), -1) : below;
          const auto states = unroll(stack, x, stack.zero_state(tape, N));
          CHECK(distance(outputs(stack, states), expected) < 1e-6);
          auto state = stack.zero_state(tape, N);
          for (Index t = 0; t < T; ++t) state = stack.step(select(x, 0, t), state);
          CHECK(distance(stack.output(state), select(expected, 0, -1)) < 1e-6);
          CHECK(distance(stack.output(last_state(stack, states)), select(expected, 0, -1)) < 1e-6);
        }
  });
}

TEST_CASE("skips and residuals pass the check of gradients, with unequal lengths too") {
  const StackOptions skips{.skip_input = true, .skip_output = true}, residual{.residual = true},
      all{.skip_input = true, .skip_output = true, .residual = true};
  const auto check = [&](const auto& stack) {
    const Array x = randoms({2, 2, 2}, 1), lengths = indices_of({2, 1});
    const auto loss = [&](Tape& tape) {
      const UnrollOptions run{.lengths = tape.constant(lengths)};
      return asymmetric(outputs(stack, unroll(stack, tape.constant(x), stack.zero_state(tape, 2), run)));
    };
    CHECK(test::first_order_error(stack, loss) < 1e-8);
    CHECK(test::second_order_error(stack, loss) < 1e-7);
  };
  for_each_cell(1, 1, [&]<class C>(const C&, const C&) {
    check(three_layers<C>({2, 1, 3}, skips, 2));
    check(three_layers<C>({2, 2}, residual, 2));
    check_lengths(three_layers<C>({2, 1, 3}, skips), I, {});
    check_lengths(three_layers<C>({2, 2, 2}, all), I, {.reverse = true});
    check_lengths(two_bidirectional<C>(I, H, all, 2 * H + I), I, {});
  });
}

TEST_CASE("layers of different cells") {
  Rng rng(1);
  std::vector<AnyCell> layers;
  layers.emplace_back(LstmCell(I, H, rng));
  layers.emplace_back(GruCell(H, 3, rng));
  layers.emplace_back(RnnCell(3, 4, rng));
  const Stack<AnyCell> stack(std::move(layers));
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))).shape() == Shape{T, N, 4});
  check_lengths(stack, I, {});
}

TEST_CASE("layers that do not fit are named") {
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto run = [&](const auto& stack, Tensor in) { return unroll(stack, in, stack.zero_state(tape, N)); };
  const auto uneven = three_layers<RnnCell>({H, 2}, {.residual = true});
  const auto states = run(uneven, x);
  CHECK_THROWS_WITH_AS(outputs(uneven, states),
                       "[stack] residual layers must have equal widths: (4, 2, 5) below (4, 2, 2)", Error);
  CHECK_THROWS_WITH_AS(
      run(three_layers<RnnCell>({H, 2}, {.skip_input = true}), tape.constant(zeros({T, N}, DType::i32))),
      "[stack] indices cannot skip to the layers above: embed them, or take one_hot of them, in stack", Error);
  Rng rng(1);
  std::vector<RnnCell> narrow;
  narrow.emplace_back(I, H, rng);
  narrow.emplace_back(H, H, rng);
  CHECK_THROWS_WITH_AS(run(Stack<RnnCell>(std::move(narrow), {.skip_input = true}), x),
                       "[matmul] inner dimensions differ: (4, 2, 8) x (5, 5), in stack/layer1", Error);
  CHECK_THROWS_WITH_AS(Stack<RnnCell>(std::vector<RnnCell>()), "stack: there are no layers", Error);
}
