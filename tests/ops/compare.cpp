#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

// One line an op.
// clang-format off
TEST_CASE("masks: values, and no gradient") {
  const OpCheck mask{.gradient = false};
  CHECK(check_op("less", [](Tensor a, Tensor b) { return less(a, b); },
                 [](double a, double b) { return a < b; }, mask));
  CHECK(check_op("less_equal", [](Tensor a, Tensor b) { return less_equal(a, b); },
                 [](double a, double b) { return a <= b; }, mask));
  CHECK(check_op("greater", [](Tensor a, Tensor b) { return greater(a, b); },
                 [](double a, double b) { return a > b; }, mask));
  CHECK(check_op("greater_equal", [](Tensor a, Tensor b) { return greater_equal(a, b); },
                 [](double a, double b) { return a >= b; }, mask));
  CHECK(check_op("equal", [](Tensor a, Tensor b) { return equal(a, b); },
                 [](double a, double b) { return a == b; }, mask));
  CHECK(check_op("logical_and", [](Tensor a, Tensor b) { return logical_and(a, b); },
                 [](double a, double b) { return a != 0 && b != 0; }, mask));
  CHECK(check_op("logical_or", [](Tensor a, Tensor b) { return logical_or(a, b); },
                 [](double a, double b) { return a != 0 || b != 0; }, mask));
  CHECK(check_op("logical_xor", [](Tensor a, Tensor b) { return logical_xor(a, b); },
                 [](double a, double b) { return (a != 0) != (b != 0); }, mask));
  CHECK(check_op("logical_not", [](Tensor a) { return logical_not(a); },
                 [](double a) { return a == 0; }, mask));
  CHECK(check_op("not_equal", [](Tensor a, Tensor b) { return not_equal(a, b); },
                 [](double a, double b) { return a != b; }, mask));
}
// clang-format on

TEST_CASE("masks of equal numbers and of nan") {
  Tape tape;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor a = tape.constant(Array({1.0f, 2.0f, 2.0f, nan}, Shape{4}));
  const Tensor b = tape.constant(Array({2.0f, 1.0f, 2.0f, nan}, Shape{4}));
  CHECK((a < b).array() == Array({1.0f, 0.0f, 0.0f, 0.0f}, Shape{4}));
  CHECK((a <= b).array() == Array({1.0f, 0.0f, 1.0f, 0.0f}, Shape{4}));
  CHECK((a > b).array() == Array({0.0f, 1.0f, 0.0f, 0.0f}, Shape{4}));
  CHECK((a >= b).array() == Array({0.0f, 1.0f, 1.0f, 0.0f}, Shape{4}));
  CHECK(equal(a, b).array() == Array({0.0f, 0.0f, 1.0f, 0.0f}, Shape{4}));
  CHECK(not_equal(a, b).array() == Array({1.0f, 1.0f, 0.0f, 1.0f}, Shape{4}));
}

TEST_CASE("where") {
  CHECK(check_op(
      "where", [](Tensor mask, Tensor a, Tensor b) { return where(mask, a, b); },
      [](double mask, double a, double b) { return mask != 0 ? a : b; }, {.domains = {{.kinks = {0}}, {}}}));
  CHECK(check_op(
      "where some are 0", [](Tensor a, Tensor b) { return where(less(a, 0.5), b, 2 * a); },
      [](const Array& a, const Array& b) {
        const Array both[] = {a, b};
        return broadcast_reference(both, [](std::span<const double> e) { return e[0] < 0.5 ? e[1] : 2 * e[0]; });
      },
      {.shapes = {{{2, 3}, {3}}, {{4, 1}, {1, 2}}}, .domains = {{.kinks = {0.5}}, {}}}));
}

TEST_CASE("where keeps nan and infinity of the other side out, forwards and backwards") {
  Tape tape;
  const Tensor x = tape.variable(Array({0.0f, 4.0f}, Shape{2}));
  const Tensor y = where(x > 0, 1 / x, x);
  CHECK(y.array() == Array({0.0f, 0.25f}, Shape{2}));
  CHECK(grad(where(x > 0, x, log(x)), x, {.cotangent = tape.constant(1, Shape{2})}).array().at({1}) == 1);
  const Tensor only = where(x > 0, tape.constant(std::numeric_limits<double>::infinity(), Shape{2}) * x, x);
  CHECK(grad(only, x, {.cotangent = tape.constant(1, Shape{2})}).array().at({1}) > 1e30);
}
