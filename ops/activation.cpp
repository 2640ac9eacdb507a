#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>

namespace rw {
namespace {

constexpr double two_over_sqrt_pi = 1.12837916709551257390;

struct Tanh {
  static constexpr std::string_view name = "tanh";
  auto f(auto x) const { return tanh(x); }
  auto vjp(auto, auto y, auto dy) const { return times0(dy, 1 - y * y); }
};

struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  auto f(auto x) const { return sigmoid(x); }
  auto vjp(auto, auto y, auto dy) const { return times0(dy, y * (1 - y)); }
};

struct LogSigmoid {
  static constexpr std::string_view name = "log_sigmoid";
  auto f(auto x) const { return -softplus(-x); }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, sigmoid(-x)); }
};

struct Relu {
  static constexpr std::string_view name = "relu";
  template <class T>
  T f(T x) const {
    return where(x <= 0, T(0), x);  // nan stays nan
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return where(x > 0, dy, Number<T>(0));
  }
};

struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  double slope = 0;
  std::string describe() const { return fmt::format("slope {}", slope); }
  template <class T>
  T f(T x) const {
    return where(x > 0, x, static_cast<T>(slope) * x);
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return where(x > 0, dy, Number<T>(slope) * dy);
  }
};

struct Softplus {
  static constexpr std::string_view name = "softplus";
  auto f(auto x) const { return softplus(x); }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, sigmoid(x)); }
};

struct Erf {
  static constexpr std::string_view name = "erf";
  auto f(auto x) const { return erf(x); }
  template <class T>
  T vjp(T x, T, T dy) const {
    return times0(dy, Number<T>(two_over_sqrt_pi) * exp(-(x * x)));
  }
};

struct NormalPdf {
  static constexpr std::string_view name = "normal_pdf";
  auto f(auto x) const { return normal_pdf(x); }
  auto vjp(auto x, auto y, auto dy) const { return -times0(dy, times0(x, y)); }
};

struct NormalCdf {
  static constexpr std::string_view name = "normal_cdf";
  auto f(auto x) const { return normal_cdf(x); }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, normal_pdf(x)); }
};

struct Gelu {
  static constexpr std::string_view name = "gelu";
  auto f(auto x) const { return times0(x, normal_cdf(x)); }  // 0 at -inf
  auto vjp(auto x, auto, auto dy) const { return times0(dy, normal_cdf(x) + times0(x, normal_pdf(x))); }
};

}  // namespace

Tensor tanh(Operand x) { return record(Elementwise<Tanh>{}, x); }
Tensor sigmoid(Operand x) { return record(Elementwise<Sigmoid>{}, x); }
Tensor log_sigmoid(Operand x) { return record(Elementwise<LogSigmoid>{}, x); }
Tensor relu(Operand x) { return record(Elementwise<Relu>{}, x); }
Tensor leaky_relu(Operand x, double slope) {
  if (!std::isfinite(slope))
    throw Error(fmt::format("[leaky_relu] the slope is {}: it must be a finite number", slope));
  return record(Elementwise<LeakyRelu>{{slope}}, x);
}
Tensor softplus(Operand x) { return record(Elementwise<Softplus>{}, x); }
Tensor gelu(Operand x) { return record(Elementwise<Gelu>{}, x); }
Tensor erf(Operand x) { return record(Elementwise<Erf>{}, x); }
Tensor normal_pdf(Operand x) { return record(Elementwise<NormalPdf>{}, x); }
Tensor normal_cdf(Operand x) { return record(Elementwise<NormalCdf>{}, x); }

}  // namespace rw
