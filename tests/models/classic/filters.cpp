#include <cmath>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/classic/filters.h>
#include <rewind/models/classic/windows.h>
#include <rewind/models/init.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/check_op.h>

#include "support.h"

using namespace rw;
using rw::test::distance;

namespace {

// y(t) = sum b(k) x(t-k) - sum a(m) y(t-m), number by number.
Array filtered(const Array& x, const Array& b, const Array* a = nullptr) {
  Array y(x.shape(), DType::f64);
  const Index steps = x.shape()[0], inner = steps == 0 ? 0 : x.size() / steps;
  const auto at = [](const Array& v, Index i) { return v.span<double>()[static_cast<std::size_t>(i)]; };
  for (Index t = 0; t < steps; ++t)
    for (Index i = 0; i < inner; ++i) {
      double sum = 0;
      for (Index k = 0; k < b.size() && k <= t; ++k) sum += at(b, k) * at(x, (t - k) * inner + i);
      for (Index m = 1; a != nullptr && m <= a->size() && m <= t; ++m)
        sum -= at(*a, m - 1) * at(y, (t - m) * inner + i);
      y.span<double>()[static_cast<std::size_t>(t * inner + i)] = sum;
    }
  return y;
}

OpCheck filters(std::vector<std::vector<Shape>> shapes) {
  return {.shapes = std::move(shapes),
          .domains = {{}, {}, {.lo = -0.6, .hi = 0.6}},
          .no_special_values = "silence before the first step is not multiplied",
          .no_zero_gradients = "taps multiply what is not finite"};
}

}  // namespace

TEST_CASE("fir and iir beside plain loops: values, derivatives of orders 1 and 2, compiled") {
  CHECK(check_op(
      "fir", [](Tensor x, Tensor b) { return fir(x, b); },
      [](const Array& x, const Array& b) { return filtered(x, b); },
      filters({{{5, 1, 2}, {3}}, {{1, 1, 1}, {1}}, {{2, 2, 1}, {4}}, {{0, 1, 1}, {2}}})));
  CHECK(check_op(
      "iir", [](Tensor x, Tensor b, Tensor a) { return iir(x, b, a); },
      [](const Array& x, const Array& b, const Array& a) { return filtered(x, b, &a); },
      filters({{{5, 1, 2}, {2}, {1}}, {{5, 2, 1}, {1}, {3}}, {{1, 1, 1}, {1}, {2}}, {{0, 1, 1}, {1}, {2}}})));
}

TEST_CASE("fir is a causal convolution whose kernel is the taps backward, and a linear net over windows") {
  Rng rng(2);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(uniform(rng, {9, 2, 3}, -1, 1)), b = tape.constant(Array({0.5, -1.0, 2.0, 0.25}, {4}));
  const Tensor back = reshape(flip(b, 0), Shape{1, 1, 4});
  const Tensor y = conv1d(reshape(permute(x, {1, 2, 0}), Shape{6, 1, 9}), back, {.causal = true});
  const Array expected = fir(x, b).array();
  CHECK(distance(permute(reshape(y, Shape{2, 3, 9}), {2, 0, 1}).array(), expected) < 1e-14);
  const Tensor one = slice(x, 2, 0, 1);
  CHECK(distance(matmul(windows(one, 4), reshape(back, Shape{4, 1})).array(),
                 slice(slice(tape.constant(expected), 2, 0, 1), 0, 3, 6).array()) < 1e-14);
}

TEST_CASE("an infinite response of several taps folds in time, with its gradient") {
  CHECK(rw::test::folds(
      [](Tape& tape, Tensor x) {
        return sum(square(iir(x, tape.constant(1, Shape{1}), tape.constant(Array({-1.6, 0.9}, {2})))));
      },
      {2, 1}));
}

TEST_CASE("a recurrence is a convolution that never ends: impulse responses") {
  Tape tape(DType::f64);
  Array impulse({8, 1, 1}, DType::f64);
  impulse.set({0, 0, 0}, 1);
  const Tensor x = tape.constant(impulse), one = tape.constant(1, Shape{1}), decay = tape.constant(-0.5, Shape{1});
  const double powers[] = {1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125};
  CHECK(distance(iir(x, one, decay).array(), powers) == 0);
  CHECK(distance(fir(x, tape.constant(Array(std::vector<double>(powers, powers + 8)))).array(), powers) == 0);
  CHECK_THROWS_WITH_AS(fir(select(x, 1, 0), one), "[fir] needs a sequence [T, N, features], not (8, 1)", Error);
  CHECK_THROWS_WITH_AS(fir(x, 1.0), "[fir] taps are a vector of one or more numbers, not ()", Error);
  CHECK_THROWS_WITH_AS(iir(x, one, x), "[iir] taps are a vector of one or more numbers, not (8, 1, 1)", Error);
}
