#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/functions.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double power(double x) {
  if (x != x) return x;
  return std::clamp(std::exp2(std::floor(std::log2(std::abs(x)))), 0x1p-1022, 0x1p1022);
}

double rest(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

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
TEST_CASE("each function: value, derivatives, precisions, strides") {
  const OpCheck above{.domains = {{.lo = -0.7, .hi = 3}}}, mask{.gradient = false};
  const OpCheck between_jumps{.domains = {{.lo = 5.1, .hi = 5.9}, {.lo = 1.01, .hi = 1.2}},
                              .no_special_values = "quotients that overflow; the others are below"};
  const auto within = [](double x) { return std::abs(x) > 0x1p49 ? NAN : x; };
  const OpCheck positive{.domains = {{.lo = 0.2, .hi = 3}}}, a_positive{.domains = {{.lo = 0.3, .hi = 2}, {}}};
  CHECK(check_op("sqrt", [](Tensor x) { return sqrt(x); }, [](double x) { return std::sqrt(x); }, positive));
  CHECK(check_op("exp", [](Tensor x) { return exp(x); }, [](double x) { return std::exp(x); }));
  CHECK(check_op("log", [](Tensor x) { return log(x); }, [](double x) { return std::log(x); }, positive));
  CHECK(check_op("expm1", [](Tensor x) { return expm1(x); }, [](double x) { return std::expm1(x); }));
  CHECK(check_op("log1p", [](Tensor x) { return log1p(x); }, [](double x) { return std::log1p(x); }, above));
  CHECK(check_op("floor", [](Tensor x) { return floor(x); }, [](double x) { return std::floor(x); }, mask));
  CHECK(check_op("sign", [](Tensor x) { return sign(x); },
                 [](double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }, mask));
  CHECK(check_op("power_of_two", [](Tensor x) { return power_of_two(x); }, power, mask));
  CHECK(check_op("mod", [](Tensor a, Tensor b) { return mod(a, b); }, rest, between_jumps));
  CHECK(check_op("sin", [](Tensor x) { return sin(x); }, [&](double x) { return std::sin(within(x)); }));
  CHECK(check_op("cos", [](Tensor x) { return cos(x); }, [&](double x) { return std::cos(within(x)); }));
  CHECK(check_op("pow constant", [](Tensor x) { return pow(x, 2.5); },
                 [](double x) { return std::pow(x, 2.5); }, positive));
  CHECK(check_op("pow whole constant", [](Tensor x) { return pow(x, 3); }, [](double x) { return x * x * x; }));
  CHECK(check_op("pow", [](Tensor a, Tensor b) { return pow(a, b); },
                 [](double a, double b) { return std::pow(a, b); }, a_positive));
}
// clang-format on

TEST_CASE("values and gradients at 0 and below are what the header says") {
  CHECK(at(0, [](Tensor x) { return sqrt(x); }).second == infinity);
  CHECK(at(0, [](Tensor x) { return pow(x, 0.0); }) == std::pair(1.0, 0.0));
  CHECK(at(0, [](Tensor x) { return pow(x, 1.0); }) == std::pair(0.0, 1.0));
  CHECK(at(0, [](Tensor x) { return pow(x, 2.0); }) == std::pair(0.0, 0.0));
  CHECK(at(2, [](Tensor b) { return pow(0, b); }) == std::pair(0.0, 0.0));
  CHECK(at(0, [](Tensor b) { return pow(0, b); }) == std::pair(1.0, 0.0));
  CHECK(at(0, [](Tensor a) { return pow(a, 2 * a + 2); }).first == 0);
  CHECK(at(-2, [](Tensor a) { return pow(a, a * 0 + 2); }).first == 4);
  CHECK(std::isnan(at(-1, [](Tensor x) { return sqrt(x); }).first));
  CHECK(std::isnan(at(-1, [](Tensor x) { return log(x); }).first));
  CHECK(at(0, [](Tensor x) { return log(x); }).first == -infinity);
}

TEST_CASE("mod at the ends") {
  Tape tape(DType::f64);
  const auto value = [&](double a, double b) { return mod(tape.constant(a), b).item(); };
  for (const double a : {7.5, -7.5, 6.0, -6.0, 0.0, 1e15})
    for (const double b : {2.0, -2.0, 0.3, 1e-3}) {
      if (std::abs(a / b) > 0x1p52) continue;
      CHECK(value(a, b) == doctest::Approx(rest(a, b)).epsilon(1e-12));
    }
  CHECK(value(5, infinity) == 5);
  CHECK(value(-5, infinity) == infinity);
  CHECK(value(5, -infinity) == -infinity);
  for (const auto& [a, b] : {std::pair(1.0, 0.0), {infinity, 2.0}, {std::nan(""), 2.0}, {2.0, std::nan("")}})
    CHECK(std::isnan(value(a, b)));
}
