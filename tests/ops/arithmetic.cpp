#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();

// Value and gradient of a function of one number.
template <class F>
std::pair<double, double> at(double x, F f) {
  Tape tape(DType::f64);
  const Tensor v = tape.variable(Array({x}, Shape{}));
  const Tensor y = f(v);
  return {y.item(), grad(y, v).item()};
}

}  // namespace

// One line an op.
// clang-format off
TEST_CASE("each op of one number: value, derivatives, precisions, strides") {
  const OpCheck kink{.domains = {{.kinks = {0}}}}, kinks{.domains = {{.kinks = {-0.5, 1.25}}}};
  CHECK(check_op("neg", [](Tensor x) { return neg(x); }, [](double x) { return -x; }));
  CHECK(check_op("square", [](Tensor x) { return square(x); }, [](double x) { return x * x; }));
  CHECK(check_op("abs", [](Tensor x) { return abs(x); }, [](double x) { return std::abs(x); }, kink));
  CHECK(check_op("clamp", [](Tensor x) { return clamp(x, -0.5, 1.25); },
                 [](double x) { return x != x ? x : std::clamp(x, -0.5, 1.25); }, kinks));
}

TEST_CASE("each op of two numbers") {
  const OpCheck b_positive{.domains = {{}, {.lo = 0.3, .hi = 2}}};
  CHECK(check_op("add", [](Tensor a, Tensor b) { return add(a, b); }, [](double a, double b) { return a + b; }));
  CHECK(check_op("sub", [](Tensor a, Tensor b) { return sub(a, b); }, [](double a, double b) { return a - b; }));
  CHECK(check_op("mul", [](Tensor a, Tensor b) { return mul(a, b); }, [](double a, double b) { return a * b; }));
  CHECK(check_op("times0", [](Tensor a, Tensor b) { return times0(a, b); },
                 [](double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }));
  CHECK(check_op("div", [](Tensor a, Tensor b) { return div(a, b); },
                 [](double a, double b) { return a / b; }, b_positive));
  CHECK(check_op("maximum", [](Tensor a, Tensor b) { return maximum(a, b); },
                 [](double a, double b) { return a != a ? a : b != b ? b : std::max(a, b); }));
  CHECK(check_op("minimum", [](Tensor a, Tensor b) { return minimum(a, b); },
                 [](double a, double b) { return a != a ? a : b != b ? b : std::min(a, b); }));
}
// clang-format on

TEST_CASE("operators and numbers") {
  Tape tape;
  const Tensor x = tape.constant(Array({1.0f, 2.0f, 4.0f}, Shape{3}));
  CHECK((2 * x + 1 - x / 2).array() == Array({2.5f, 4.0f, 7.0f}, Shape{3}));
  CHECK((-(1 / x)).array() == Array({-1.0f, -0.5f, -0.25f}, Shape{3}));
}

TEST_CASE("assigning operators make new nodes") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({3.0}, Shape{}));
  Tensor y = x;
  y += 1;
  y *= x;
  y -= x;
  y /= 2;
  CHECK(y.item() == 4.5);
  CHECK(x.item() == 3);
  CHECK(grad(y, x).item() == 3);
}

TEST_CASE("gradients at kinks, ties and zeros are what the headers say") {
  CHECK(at(0, [](Tensor x) { return abs(x); }).second == 0);
  CHECK(at(1, [](Tensor x) { return maximum(x, 1); }).second == 0.5);
  CHECK(at(1, [](Tensor x) { return minimum(1, x); }).second == 0.5);
  CHECK(at(2, [](Tensor x) { return clamp(x, 1, 2); }) == std::pair(2.0, 1.0));
  CHECK(at(1, [](Tensor x) { return clamp(x, 1, 2); }).second == 1);
  CHECK(at(2.5, [](Tensor x) { return clamp(x, 1, 2); }) == std::pair(2.0, 0.0));
}

TEST_CASE("clamp lets the gradient pass at a bound that f32 cannot represent") {
  Tape tape;
  const Tensor x = tape.variable(Array({0.1f}, Shape{}));
  const Tensor y = clamp(x, -1, 0.1);
  CHECK(grad(y, x).item() == 1);
  backward(y, {.keep_grads = true});
  CHECK(Array(tape.grad(x)).item() == 1);
}

TEST_CASE("nan comes through, and what is not chosen stays out of the gradient") {
  for (double other : {-1.0, 1.0}) {
    CHECK(std::isnan(at(not_a_number, [&](Tensor x) { return maximum(x, other); }).first));
    CHECK(std::isnan(at(not_a_number, [&](Tensor x) { return minimum(other, x); }).first));
  }
  CHECK(std::isnan(at(not_a_number, [](Tensor x) { return clamp(x, 0, 1); }).first));
  CHECK(std::isnan(at(not_a_number, [](Tensor x) { return abs(x); }).first));
  // An infinite dy reaches only the side that was chosen: 0 times infinity would be nan.
  CHECK(at(-1, [](Tensor x) { return infinity * maximum(x, 0.0); }).second == 0);
  CHECK(at(-1, [](Tensor x) { return infinity * clamp(x, 0, 1); }).second == 0);
}

TEST_CASE("an empty range is refused") {
  Tape tape;
  const Tensor x = tape.constant(1);
  CHECK_THROWS_WITH_AS(clamp(x, 2, 1), "[clamp] the range 2..1 is empty", Error);
  CHECK_THROWS_AS(clamp(x, not_a_number, 1), Error);
}

TEST_CASE("a number or a parameter alone has no tape") { CHECK_THROWS_AS(add(1, 2), Error); }
