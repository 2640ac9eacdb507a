#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/ops/activation.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

double cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double softplus_reference(double x) { return x > 40 ? x : std::log1p(std::exp(x)); }
double pdf(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI); }

}  // namespace

// One line an op.
// clang-format off
TEST_CASE("each activation: value, derivatives, precisions, strides") {
  const OpCheck kink{.domains = {{.kinks = {0}}}};
  CHECK(check_op("tanh", [](Tensor x) { return tanh(x); }, [](double x) { return std::tanh(x); }));
  CHECK(check_op("sigmoid", [](Tensor x) { return sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }));
  CHECK(check_op("log_sigmoid", [](Tensor x) { return log_sigmoid(x); }, [](double x) { return -softplus_reference(-x); }));
  CHECK(check_op("relu", [](Tensor x) { return relu(x); }, [](double x) { return x <= 0 ? 0 : x; }, kink));
  CHECK(check_op("leaky_relu", [](Tensor x) { return leaky_relu(x, 0.2); },
                 [](double x) { return x > 0 ? x : 0.2 * x; }, kink));
  CHECK(check_op("softplus", [](Tensor x) { return softplus(x); }, softplus_reference));
  CHECK(check_op("gelu", [](Tensor x) { return gelu(x); }, [](double x) { return x == -INFINITY ? 0 : x * cdf(x); }));
  CHECK(check_op("erf", [](Tensor x) { return erf(x); }, [](double x) { return std::erf(x); }));
  CHECK(check_op("normal_cdf", [](Tensor x) { return normal_cdf(x); }, cdf));
  CHECK(check_op("normal_pdf", [](Tensor x) { return normal_pdf(x); }, pdf));
}
// clang-format on

TEST_CASE("stable for large inputs, in value and gradient") {
  struct Case {
    const char* name;
    Tensor (*f)(Tensor);
    double below, above, slope_below, slope_above;  // at -1e4 and 1e4
  };
  const Case cases[] = {
      {"tanh", [](Tensor x) { return tanh(x); }, -1, 1, 0, 0},
      {"sigmoid", [](Tensor x) { return sigmoid(x); }, 0, 1, 0, 0},
      {"relu", [](Tensor x) { return relu(x); }, 0, 1e4, 0, 1},
      {"leaky_relu", [](Tensor x) { return leaky_relu(x, 0.5); }, -5e3, 1e4, 0.5, 1},
      {"softplus", [](Tensor x) { return softplus(x); }, 0, 1e4, 0, 1},
      {"gelu", [](Tensor x) { return gelu(x); }, 0, 1e4, 0, 1},
      {"erf", [](Tensor x) { return erf(x); }, -1, 1, 0, 0},
      {"normal_cdf", [](Tensor x) { return normal_cdf(x); }, 0, 1, 0, 0},
      {"normal_pdf", [](Tensor x) { return normal_pdf(x); }, 0, 0, 0, 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    for (DType dtype : {DType::f32, DType::f64}) {
      Tape tape(dtype);
      const Tensor low = tape.variable(Array({-1e4}, Shape{})), high = tape.variable(Array({1e4}, Shape{}));
      const Tensor y_low = c.f(low), y_high = c.f(high);
      CHECK(y_low.item() == c.below);
      CHECK(y_high.item() == c.above);
      CHECK(grad(y_low, low).item() == c.slope_below);
      CHECK(grad(y_high, high).item() == c.slope_above);
    }
  }
}

TEST_CASE("precise where a plain formula cancels") {
  Tape tape;
  const auto value = [&](Tensor (*f)(Tensor), double x) { return f(tape.constant(x)).item(); };
  CHECK(value([](Tensor x) { return gelu(x); }, -6) == doctest::Approx(-6 * cdf(-6)).epsilon(1e-5));
  CHECK(value([](Tensor x) { return normal_cdf(x); }, -10) == doctest::Approx(cdf(-10)).epsilon(1e-5));
  CHECK(value([](Tensor x) { return softplus(x); }, -30) == doctest::Approx(std::exp(-30.0)).epsilon(1e-6));
  CHECK(value([](Tensor x) { return sigmoid(x); }, -80) == doctest::Approx(std::exp(-80.0)).epsilon(1e-6));
}

TEST_CASE("no activation hides nan") {
  Tape tape;
  const Tensor x = tape.constant(std::nan(""));
  for (const Tensor& y : {relu(x), leaky_relu(x), tanh(x), sigmoid(x), softplus(x), gelu(x), erf(x), normal_cdf(x)})
    CHECK(std::isnan(y.item()));
}

TEST_CASE("the gradient at a kink is 0 or the slope below") {
  Tape tape;
  const Tensor x = tape.variable(Array({0.0f}, Shape{}));
  CHECK(grad(relu(x), x).item() == 0);
  CHECK(grad(leaky_relu(x, 0.25), x).item() == 0.25);
}
