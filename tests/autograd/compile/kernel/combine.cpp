#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/structural.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

Tensor apply(int op, Tensor a, Tensor b) { return op == 0 ? a + b : op == 1 ? a - b : a * b; }

TEST_CASE("two levels of sums, differences and products are one loop with the bits of three") {
  for (const Shape& shape : {Shape{7}, Shape{3, 16}, Shape{2, 130}}) {
    std::vector<Array> x;
    for (std::uint64_t k = 0; k < 4; ++k) x.push_back(random_array(shape, k));
    for (int outer = 0; outer < 3; ++outer)
      for (int left = 0; left < 3; ++left)
        for (int right = 0; right < 3; ++right) {
          CAPTURE(shape.str());
          CAPTURE(outer * 9 + left * 3 + right);
          const auto f = [&](Tape&, const std::vector<Tensor>& in) {
            const Tensor a = apply(left, in[0], in[1]), b = apply(right, in[2], in[3]);
            return std::vector{apply(outer, a, b), apply(outer, a, in[2]) * 2.0, apply(outer, in[3], b) * 3.0,
                               apply(outer, apply(right, in[1], in[0]), in[3]),
                               apply(outer, in[3], apply(left, in[0], in[2]))};
          };
          CHECK(disagreement(f, x, {}, {.passes = Passes::exact()}) == 0);
        }
  }
}

TEST_CASE("sums of many terms take up two at a time, from left to right") {
  std::vector<Array> x;
  for (std::uint64_t k = 0; k < 8; ++k) x.push_back(random_array(Shape{5, 20}, k));
  for (std::size_t terms = 1; terms <= x.size(); ++terms) {
    const auto f = [&](Tape&, const std::vector<Tensor>& in) {
      std::vector<Operand> some;
      for (std::size_t k = 0; k < terms; ++k) some.emplace_back(tanh(in[k]));
      return std::vector{record(AddN{}, std::span<const Operand>(some))};
    };
    CHECK(disagreement(f, x, {}, {.passes = Passes::exact()}) == 0);
  }
}

TEST_CASE("few elements that are no whole vectors are computed as whole vectors, and nothing beside them changes") {
  for (DType dtype : {DType::f32, DType::f64})
    for (Index n : {1, 3, 7, 8, 14, 15, 16, 17, 31, 63, 64, 65}) {
      CAPTURE(n);
      Parameter w("w", random_array(Shape{n}, 5, 1, dtype));
      const std::vector<Array> x{random_array(Shape{3, n}, 1, 1, dtype), random_array(Shape{n}, 2, 1, dtype)};
      const auto f = [&](Tape&, const std::vector<Tensor>& in) {
        Tensor h = in[1];
        std::vector<Tensor> all;  // values that must be neighbours have no room between them
        for (Index t = 0; t < 3; ++t) all.push_back(h = tanh(select(in[0], 0, t) * w + h));
        return std::vector{stack(all), h, grad(sum(stack(all) * in[0]), in[1])};
      };
      CHECK(disagreement(f, x, {&w}, {.passes = Passes::exact()}) == 0);
      CHECK(disagreement(f, x, {&w}) < 1e-5);
    }
}

TEST_CASE("neutral operands go, and -0 stays what it is") {
  const Array x({-0.0f, 0.0f, 2.0f}, Shape{3});
  auto f = compile(
      [](Tape& tape, Tensor in) {
        const Tensor one = tape.constant(1), zero = tape.constant(0), minus_zero = tape.constant(-0.0);
        return std::array{(in * one / one - zero + minus_zero) * one, in + zero};
      },
      x);
  const auto [same, sum] = f(x);
  CHECK(f.kernels() == 1);
  CHECK(std::signbit(same.array().to_vector<float>()[0]));
  CHECK_FALSE(std::signbit(sum.array().to_vector<float>()[0]));
}

}  // namespace
}  // namespace rw
