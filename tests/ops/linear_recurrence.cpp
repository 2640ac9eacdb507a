#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/init.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

// Step by step, in plain doubles.
Array reference(const Array& a, const Array& x, int axis) {
  Array y = x;
  Index inner = 1;
  for (int i = axis + 1; i < x.shape().rank(); ++i) inner *= x.shape()[i];
  for (Index i = 0; i < y.size(); ++i)
    if (i / inner % x.shape()[axis] > 0) {
      const auto at = static_cast<std::size_t>(i), before = static_cast<std::size_t>(i - inner);
      y.span<double>()[at] += times(a.span<double>()[at], y.span<double>()[before]);
    }
  return y;
}

}  // namespace

TEST_CASE("linear_recurrence") {
  const OpCheck check{.shapes = {{{3, 2}, {3, 2}},
                                 {{1, 1}, {1, 1}},
                                 {{9, 1, 3}, {9, 1, 3}},
                                 {{2, 70}, {2, 70}},
                                 {{0, 3}, {0, 3}},
                                 {{3, 0}, {3, 0}}},
                      .bad = {{{3, 2}, {3, 1}}, {{3}, {2}}}};
  CHECK(check_op(
      "linear_recurrence", [](Tensor a, Tensor x) { return linear_recurrence(a, x); },
      [](const Array& a, const Array& x) { return reference(a, x, 0); }, check));
  CHECK(check_op(
      "linear_recurrence along the last", [](Tensor a, Tensor x) { return linear_recurrence(a, x, -1); },
      [](const Array& a, const Array& x) { return reference(a, x, x.shape().rank() - 1); }, check));
}

TEST_CASE("linear_recurrence from a start") {
  const auto started = [](const Array& a, const Array& x, const Array& start) {
    Array first = x;
    const Index inner = x.size() / std::max<Index>(1, x.shape()[0]);
    for (Index i = 0; i < std::min(inner, x.size()); ++i) {
      const auto at = static_cast<std::size_t>(i);
      first.span<double>()[at] += times(a.span<double>()[at], start.span<double>()[at % start.span<double>().size()]);
    }
    return reference(a, first, 0);
  };
  CHECK(check_op("linear_recurrence_from", [](Tensor a, Tensor x, Tensor h) { return linear_recurrence_from(h, a, x); },
                 started, {.shapes = {{{3, 2}, {3, 2}, {2}}, {{1, 2, 2}, {1, 2, 2}, {2, 2}}, {{4, 2}, {4, 2}, {1}}}}));
}

TEST_CASE("linear_recurrence: a parallel scan over many steps is the loop over them, with any number of threads") {
  for (const Shape& shape : {Shape{2047, 3}, Shape{2048, 1}, Shape{5000, 2, 3}, Shape{2500, 64}}) {
    CAPTURE(shape.str());
    Rng rng(3);
    const Array a = uniform(rng, shape, -1.001, 1.001).to(DType::f64), x = uniform(rng, shape, -1, 1).to(DType::f64);
    const auto values_and_gradients = [&] {
      Tape tape(DType::f64);
      const Tensor ta = tape.variable(a), tx = tape.variable(x), y = linear_recurrence(ta, tx);
      const auto d = grad(sum(y * y), {ta, tx});
      return std::vector<Array>{y.array(), d[0].array(), d[1].array()};
    };
    const int before = threads();
    set_threads(1);
    const auto one = values_and_gradients();
    set_threads(3);
    const auto three = values_and_gradients();
    set_threads(before);
    CHECK(one == three);
    const Array expected = reference(a, x, 0);
    double most = 0;
    for (std::size_t i = 0; i < expected.span<double>().size(); ++i)
      most = std::max(most, std::abs(expected.span<double>()[i] - one[0].span<double>()[i]));
    CHECK(most < 1e-12);
    // The gradient of x is the recurrence backward in time.
    Array flipped_a = a, dy = expected;
    const Index inner = a.size() / shape[0], last = shape[0] - 1;
    const auto at = [&](Index t, Index i) { return static_cast<std::size_t>(t * inner + i); };
    for (Index t = 0; t <= last; ++t)
      for (Index i = 0; i < inner; ++i) {
        flipped_a.span<double>()[at(t, i)] = t == 0 ? 0 : a.span<double>()[at(last - t + 1, i)];
        dy.span<double>()[at(t, i)] = 2 * expected.span<double>()[at(last - t, i)];
      }
    const Array dx = reference(flipped_a, dy, 0);
    double worst = 0;
    for (Index t = 0; t <= last; ++t)
      for (Index i = 0; i < inner; ++i)
        worst = std::max(worst, std::abs(dx.span<double>()[at(last - t, i)] - one[2].span<double>()[at(t, i)]));
    CHECK(worst < 1e-11);
  }
}

TEST_CASE("linear_recurrence: a factor of 0 begins anew, whatever was before") {
  Tape tape(DType::f64);
  const double inf = INFINITY;
  const Tensor a = tape.constant(Array({9.0, 1.0, 0.0, 0.5}, {4})), x = tape.constant(Array({inf, 1.0, 2.0, 3.0}, {4}));
  CHECK(linear_recurrence(a, x).array() == Array({inf, inf, 2.0, 4.0}, {4}));
}

TEST_CASE("linear_recurrence refuses what does not fit") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{3, 2});
  CHECK_THROWS_WITH_AS(linear_recurrence(x, tape.constant(0, Shape{3, 1})),
                       "[linear_recurrence] the factors (3, 2) and the inputs (3, 1) must have one shape", Error);
  CHECK_THROWS_WITH_AS(linear_recurrence(x, x, 2), "[linear_recurrence] no axis 2 in shape (3, 2)", Error);
}
