#include <algorithm>
#include <cmath>
#include <limits>

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
  for (const Shape& shape :
       {Shape{}, Shape{1}, Shape{2}, Shape{2, 1}, Shape{3}, Shape{7}, Shape{3, 16}, Shape{2, 130}}) {
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

// Equal, zeros in their signs, too; or nan both.
bool same_numbers(const Array& a, const Array& b) {
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](double p, double q) {
    return std::isnan(p) ? std::isnan(q) : p == q && std::signbit(p) == std::signbit(q);
  });
}

TEST_CASE("one number, and two, are computed one by one, to the bits of a tape at special values, too") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> special{0, -0.0, inf, -inf, nan, 1e-310, 1.5, -3};
  const auto f = [](Tape&, const std::vector<Tensor>& in) {
    const Tensor a = in[0], b = in[1], c = in[2];
    const Tensor masked = times0(a, b);
    std::vector<Tensor> out{a + b, a - b, a * b, masked, -a, a / b, sqrt(a), exp(b), where(a > b, a, c)};
    for (const Tensor& x : {a + b, a - b, a * b, masked}) {
      out.insert(out.end(), {x + c, c + x, x - c, c - x, x * c, times0(x, c), -x, x / c});
      out.insert(out.end(), {x + masked * 1.0, masked - x, times0(x, a - c), x * (b + c)});
    }
    return out;
  };
  for (const Shape& shape : {Shape{}, Shape{2}, Shape{2, 1}, Shape{3}})
    for (const DType dtype : {DType::f64, DType::f32}) {
      const auto filled = [&](double first) {
        std::vector<double> values(static_cast<std::size_t>(shape.size()), first / 3 - 1);
        values[0] = first;
        return Array(values, shape).to(dtype);
      };
      auto step = compile(f, {.dtype = dtype, .passes = Passes::exact()}, std::vector<Array>(3, filled(1)));
      for (const double first : special)
        for (const double second : special) {
          CAPTURE(shape.str());
          CAPTURE(first);
          CAPTURE(second);
          const std::vector<Array> x{filled(first), filled(second), filled(0.7)};
          const std::vector<Array> found = compiled_call(step, x, {}), expected = on_a_tape(f, x, {}, dtype);
          for (std::size_t k = 0; k < found.size(); ++k) CHECK_MESSAGE(same_numbers(found[k], expected[k]), k);
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
