// Sums of very many gradients: accurate, and the same bits however they come about.
#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/split_backward.h>
#include <rewind/core/long_sum.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

#include "support.h"

using namespace rw;
using test::same_bits;

namespace {

constexpr double tenth = static_cast<double>(0.1f);

// A bias added at each of `steps`, to a batch of `batch` rows; each gets a gradient of 0.1.
Tensor loss_over_time(Tensor bias, int steps, Index batch) {
  Tape& tape = bias.tape();
  const Tensor x = tape.constant(0.5, Shape{batch, bias.size()});
  Tensor loss = sum(0.1 * (x + bias));
  for (int t = 1; t < steps; ++t) loss = loss + sum(0.1 * (x + bias));
  return loss;
}

}  // namespace

TEST_CASE("LongSum adds like a sum in blocks of blocks") {
  const int terms = 3 * 64 * 64 + 5 * 64 + 7;
  Array sum = full(Shape{2}, 0.1);
  LongSum aside;
  for (int i = 1; i < terms; ++i) {
    if (i % LongSum::block == 0) {
      aside.set_aside(sum);
      sum = full(Shape{2}, 0.1);
    } else {
      for (float& e : sum.span<float>()) e += 0.1f;
    }
  }
  CHECK(aside.bytes() == 2 * 2 * sizeof(float));  // two levels of two numbers
  aside.add_to(sum.view());
  CHECK(aside.empty());
  CHECK(sum.at({1}) == doctest::Approx(terms * tenth).epsilon(200 * 0x1p-24));
}

TEST_CASE("the gradient of a bias over many rows and steps") {
  const int steps = 5000;
  const Index batch = 64;
  const double expected = steps * static_cast<double>(batch) * tenth;
  Parameter bias("b", Array(Shape{3}));
  {
    Tape tape;
    const Tensor loss = loss_over_time(tape.leaf(bias), steps, batch);
    const Array recorded = grad(loss, bias).array();
    backward(loss);
    CHECK(same_bits(bias.grad(), recorded));
    CHECK(recorded.at({2}) == doctest::Approx(expected).epsilon(250 * 0x1p-24));
  }
  for (const Passes passes : {Passes::exact(), Passes::all()}) {
    bias.zero_grad();
    auto step = compile([&](Tape& tape) { backward(loss_over_time(tape.leaf(bias), 500, batch)); },
                        CompileOptions{.dtype = DType::f32, .passes = passes});
    step();
    CHECK(bias.grad().at({1}) == doctest::Approx(expected / 10).epsilon(250 * 0x1p-24));
  }
}

TEST_CASE("many terms have the same bits eager, recorded, in pieces and compiled") {
  for (const int steps : {63, 64, 65, 129, 64 * 64 + 3}) {
    CAPTURE(steps);
    Parameter bias("b", test::numbers(Shape{5}, 3, DType::f32));
    Tape tape;
    const auto term = [](Tensor b, int t) { return sum(square(b * (0.1 + 0.37 * (t % 11)))); };
    std::vector<Tensor> losses;
    for (int t = 0; t < steps; ++t) losses.push_back(term(tape.leaf(bias), t));
    Tensor loss = losses[0];
    for (int t = 1; t < steps; ++t) loss = loss + losses[static_cast<std::size_t>(t)];
    const Array recorded = grad(loss, bias).array();
    backward(loss);
    CHECK(same_bits(bias.grad(), recorded));
    bias.zero_grad();
    SplitBackward pieces(DType::f32);
    for (auto t = losses.size(); t-- > 0;) pieces.run({{losses[t]}});
    pieces.commit();
    CHECK(same_bits(bias.grad(), recorded));
    if (steps > 200) continue;
    bias.zero_grad();
    auto compiled = compile(
        [&](Tape& traced) {
          Tensor total = term(traced.leaf(bias), 0);
          for (int t = 1; t < steps; ++t) total = total + term(traced.leaf(bias), t);
          return grad(total, bias);
        },
        CompileOptions{.dtype = DType::f32, .passes = Passes::exact(), .verify = true});
    CHECK(same_bits(compiled().value(), recorded));
  }
}
