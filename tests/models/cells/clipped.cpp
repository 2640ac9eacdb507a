#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/models/cells/clipped.h>
#include <rewind/ops/reduce.h>

#include "../sequence.h"

using namespace rw;
using namespace rw::test;

namespace {

/// h(t) = 3 h(t-1) + x: gradients grow threefold a step.
class Growing : public Module {
 public:
  struct State {
    Tensor h;
  };
  Growing() : Module("growing"), a_(param("a", full({1}, 3))) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 1})}; }
  State step(Tensor x, State s) const { return {s.h * a_ + x}; }

 private:
  Parameter& a_;
};

}  // namespace

TEST_CASE("gradients do not grow from step to step beyond the limit") {
  const Index steps = 8;
  const auto gradient_of_inputs = [&](const auto& cell) {
    Tape tape;
    const Tensor x = tape.variable(full({steps, 1, 1}, 1));
    const auto states = unroll(cell, x, cell.zero_state(tape, 1));
    backward(sum(states.back().h));
    return Array(tape.grad(x));
  };
  const Array plain = gradient_of_inputs(Growing()), clipped = gradient_of_inputs(Clipped(Growing(), 5.0));
  for (Index t = 0; t < steps; ++t) {
    const double grown = std::pow(3.0, static_cast<double>(steps - 1 - t));
    CHECK(plain.at({t, 0, 0}) == grown);
    CHECK(clipped.at({t, 0, 0}) == std::min(grown, 5.0));
  }
}

TEST_CASE("a clipped cell has its cell's values, names, and, within the limit, gradients") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Clipped wide(cell.clone(), 1e6), narrow(cell.clone(), 1e-3);
  static_assert(ProjectedCell<Clipped<LstmCell>> && Cell<Clipped<UgrnnCell>> && !ProjectedCell<Clipped<UgrnnCell>>);
  const auto run = [&](const auto& c) {
    Tape tape;
    const auto states = unroll(c, tape.constant(sequence()), c.zero_state(tape, N));
    backward(asymmetric(outputs(c, states)));
    return std::pair(states.back().c.array(), c.parameter("R").grad());
  };
  const auto expected = run(cell);
  CHECK(run(wide) == expected);
  const auto limited = run(narrow);
  CHECK(limited.first == expected.first);
  CHECK_FALSE(limited.second == expected.second);
  CHECK(narrow.clone().limit() == 1e-3);
  CHECK(narrow.parameters()[0].name == "W");
}

TEST_CASE("stacks of clipped cells pass the check of gradients where nothing is limited") {
  Rng rng(1);
  std::vector<Clipped<LstmCell>> layers;
  layers.emplace_back(LstmCell(I, H, rng), 1e6);
  layers.emplace_back(LstmCell(H, H, rng), 1e6);
  const Stack<Clipped<LstmCell>> stack(std::move(layers));
  const auto loss = [&](Tape& tape) {
    const auto states = unroll(stack, tape.constant(sequence()), stack.zero_state(tape, N));
    return asymmetric(outputs(stack, states));
  };
  CHECK(first_order_error(stack, loss) < 1e-8);
  CHECK(second_order_error(stack, loss) < 1e-7);
}

TEST_CASE("a limit that makes no sense is refused") {
  Rng rng(1);
  CHECK_THROWS_WITH_AS(Clipped(LstmCell(I, H, rng), 0.0), "lstm: gradients are limited to 0.000000: it must be above 0",
                       Error);
}
