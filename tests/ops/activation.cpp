#include <cmath>

#include <doctest/doctest.h>

#include <rewind/ops/activation.h>
#include <rewind/tools/check_op.h>

using namespace rw;

TEST_CASE("activations") {
  CHECK(check_op("tanh", [](Tensor x) { return tanh(x); }, [](double x) { return std::tanh(x); }));
  CHECK(check_op("sigmoid", [](Tensor x) { return sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }));
  CHECK(check_op("relu", [](Tensor x) { return relu(x); }, [](double x) { return x > 0 ? x : 0; }, {.domains = {{.kinks = {0}}}}));
  CHECK(check_op("leaky_relu", [](Tensor x) { return leaky_relu(x, 0.2); }, [](double x) { return x > 0 ? x : 0.2 * x; }, {.domains = {{.kinks = {0}}}}));
  CHECK(check_op("softplus", [](Tensor x) { return softplus(x); }, [](double x) { return std::log1p(std::exp(x)); }));
  CHECK(check_op("gelu", [](Tensor x) { return gelu(x); }, [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }));
  CHECK(check_op("erf", [](Tensor x) { return erf(x); }, [](double x) { return std::erf(x); }));
}
