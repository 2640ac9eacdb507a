#include <fmt/format.h>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>

namespace rw {
namespace {

constexpr double two_over_sqrt_pi = 1.12837916709551257390, sqrt_half = 0.70710678118654752440;

struct Tanh {
  static constexpr std::string_view name = "tanh";
  template <class T>
  T f(T x) const {
    return tanh(x);
  }
  template <class T>
  T vjp(T, T y, T dy) const {
    return dy * (1 - y * y);
  }
};

struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  template <class T>
  T f(T x) const {
    return sigmoid(x);
  }
  template <class T>
  T vjp(T, T y, T dy) const {
    return dy * (y * (1 - y));
  }
};

struct Relu {
  static constexpr std::string_view name = "relu";
  template <class T>
  T f(T x) const {
    return where(x > 0, x, T(0));
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return where(x > 0, dy, 0 * dy);
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
  float vjp(float x, float, float dy) const { return where(x > 0, dy, static_cast<float>(slope) * dy); }
  double vjp(double x, double, double dy) const { return where(x > 0, dy, slope * dy); }
  Tensor vjp(Tensor x, Tensor, Tensor dy) const { return where(x > 0, dy, slope * dy); }
};

struct Softplus {
  static constexpr std::string_view name = "softplus";
  template <class T>
  T f(T x) const {
    return softplus(x);
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return dy * sigmoid(x);
  }
};

struct Erf {
  static constexpr std::string_view name = "erf";
  template <class T>
  T f(T x) const {
    return erf(x);
  }
  float vjp(float x, float, float dy) const { return dy * (static_cast<float>(two_over_sqrt_pi) * exp(-(x * x))); }
  double vjp(double x, double, double dy) const { return dy * (two_over_sqrt_pi * exp(-(x * x))); }
  Tensor vjp(Tensor x, Tensor, Tensor dy) const { return dy * (two_over_sqrt_pi * exp(-(x * x))); }
};

struct Gelu {
  static constexpr std::string_view name = "gelu";
  template <class T>
  T f(T x) const {
    return T(0.5) * x * (1 + erf(x * static_cast<T>(sqrt_half)));
  }
  // Phi(x) + x phi(x).
  float vjp(float x, float, float dy) const { return rule(x, dy); }
  double vjp(double x, double, double dy) const { return rule(x, dy); }
  Tensor vjp(Tensor x, Tensor, Tensor dy) const {
    return dy * (0.5 * (1 + erf(x * sqrt_half)) + x * (0.5 * two_over_sqrt_pi * sqrt_half * exp(-0.5 * (x * x))));
  }

 private:
  template <class T>
  static T rule(T x, T dy) {
    return dy * (T(0.5) * (1 + erf(x * static_cast<T>(sqrt_half))) +
                 x * (static_cast<T>(0.5 * two_over_sqrt_pi * sqrt_half) * exp(T(-0.5) * (x * x))));
  }
};

}  // namespace

Tensor tanh(Operand x) { return record(Elementwise<Tanh>{}, x); }
Tensor sigmoid(Operand x) { return record(Elementwise<Sigmoid>{}, x); }
Tensor relu(Operand x) { return record(Elementwise<Relu>{}, x); }
Tensor leaky_relu(Operand x, double slope) { return record(Elementwise<LeakyRelu>{{slope}}, x); }
Tensor softplus(Operand x) { return record(Elementwise<Softplus>{}, x); }
Tensor gelu(Operand x) { return record(Elementwise<Gelu>{}, x); }
Tensor erf(Operand x) { return record(Elementwise<Erf>{}, x); }

}  // namespace rw
