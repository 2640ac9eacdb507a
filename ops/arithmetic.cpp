#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>

namespace rw {
namespace {

struct Add {
  static constexpr std::string_view name = "add";
  static constexpr std::uint32_t passes_gradient = 0b11;
  template <class T>
  T f(T a, T b) const {
    return a + b;
  }
  template <int I, class T>
  T vjp(Arg<I>, T, T, T, T dy) const {
    return dy;
  }
};

struct Sub {
  static constexpr std::string_view name = "sub";
  static constexpr std::uint32_t passes_gradient = 0b01;
  template <class T>
  T f(T a, T b) const {
    return a - b;
  }
  template <class T>
  T vjp(Arg<0>, T, T, T, T dy) const {
    return dy;
  }
  template <class T>
  T vjp(Arg<1>, T, T, T, T dy) const {
    return -dy;
  }
};

struct Mul {
  static constexpr std::string_view name = "mul";
  template <class T>
  T f(T a, T b) const {
    return a * b;
  }
  template <class T>
  T vjp(Arg<0>, T, T b, T, T dy) const {
    return dy * b;
  }
  template <class T>
  T vjp(Arg<1>, T a, T, T, T dy) const {
    return dy * a;
  }
};

struct Div {
  static constexpr std::string_view name = "div";
  template <class T>
  T f(T a, T b) const {
    return a / b;
  }
  template <class T>
  T vjp(Arg<0>, T, T b, T, T dy) const {
    return dy / b;
  }
  template <class T>
  T vjp(Arg<1>, T, T b, T y, T dy) const {
    return -dy * y / b;
  }
};

struct Neg {
  static constexpr std::string_view name = "neg";
  template <class T>
  T f(T x) const {
    return -x;
  }
  template <class T>
  T vjp(T, T, T dy) const {
    return -dy;
  }
};

struct Square {
  static constexpr std::string_view name = "square";
  template <class T>
  T f(T x) const {
    return x * x;
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return dy * (2 * x);
  }
};

struct Sqrt {
  static constexpr std::string_view name = "sqrt";
  template <class T>
  T f(T x) const {
    return sqrt(x);
  }
  template <class T>
  T vjp(T, T y, T dy) const {
    return dy / (2 * y);
  }
};

struct Exp {
  static constexpr std::string_view name = "exp";
  template <class T>
  T f(T x) const {
    return exp(x);
  }
  template <class T>
  T vjp(T, T y, T dy) const {
    return dy * y;
  }
};

struct Log {
  static constexpr std::string_view name = "log";
  template <class T>
  T f(T x) const {
    return log(x);
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return dy / x;
  }
};

struct Abs {
  static constexpr std::string_view name = "abs";
  template <class T>
  T f(T x) const {
    return abs(x);
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return where(x > 0, dy, where(x < 0, -dy, 0 * dy));
  }
};

struct PowConstant {
  static constexpr std::string_view name = "pow_constant";
  double exponent = 1;
  std::string describe() const { return fmt::format("{}", exponent); }
  float f(float x) const { return pow(x, static_cast<float>(exponent)); }
  double f(double x) const { return pow(x, exponent); }
  float vjp(float x, float, float dy) const {
    return dy * (static_cast<float>(exponent) * pow(x, static_cast<float>(exponent - 1)));
  }
  double vjp(double x, double, double dy) const { return dy * (exponent * pow(x, exponent - 1)); }
  Tensor vjp(Tensor x, Tensor, Tensor dy) const { return dy * (exponent * pow(x, exponent - 1)); }
};

struct Pow {
  static constexpr std::string_view name = "pow";
  template <class T>
  T f(T a, T b) const {
    return pow(a, b);
  }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return dy * (b * pow(a, b - 1));
  }
  template <class T>
  T vjp(Arg<1>, T a, T, T y, T dy) const {
    return dy * (y * log(a));
  }
};

struct Sin {
  static constexpr std::string_view name = "sin";
  template <class T>
  T f(T x) const {
    return sin(x);
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return dy * cos(x);
  }
};

struct Cos {
  static constexpr std::string_view name = "cos";
  template <class T>
  T f(T x) const {
    return cos(x);
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return -dy * sin(x);
  }
};

struct Maximum {
  static constexpr std::string_view name = "maximum";
  template <class T>
  T f(T a, T b) const {
    return maximum(a, b);
  }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return where(a > b, dy, where(a < b, 0 * dy, 0.5f * dy));
  }
  template <class T>
  T vjp(Arg<1>, T a, T b, T, T dy) const {
    return where(b > a, dy, where(b < a, 0 * dy, 0.5f * dy));
  }
};

struct Minimum {
  static constexpr std::string_view name = "minimum";
  template <class T>
  T f(T a, T b) const {
    return minimum(a, b);
  }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return where(a < b, dy, where(a > b, 0 * dy, 0.5f * dy));
  }
  template <class T>
  T vjp(Arg<1>, T a, T b, T, T dy) const {
    return where(b < a, dy, where(b > a, 0 * dy, 0.5f * dy));
  }
};

struct Clamp {
  static constexpr std::string_view name = "clamp";
  double lo = 0, hi = 0;
  std::string describe() const { return fmt::format("{}..{}", lo, hi); }
  template <class T>
  T f(T x) const {
    return minimum(maximum(x, static_cast<T>(lo)), static_cast<T>(hi));
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return where(x >= lo, where(x <= hi, dy, 0 * dy), 0 * dy);
  }
};

}  // namespace

Tensor add(Operand a, Operand b) { return record(Elementwise<Add>{}, a, b); }
Tensor sub(Operand a, Operand b) { return record(Elementwise<Sub>{}, a, b); }
Tensor mul(Operand a, Operand b) { return record(Elementwise<Mul>{}, a, b); }
Tensor div(Operand a, Operand b) { return record(Elementwise<Div>{}, a, b); }
Tensor neg(Operand x) { return record(Elementwise<Neg>{}, x); }
Tensor square(Operand x) { return record(Elementwise<Square>{}, x); }
Tensor sqrt(Operand x) { return record(Elementwise<Sqrt>{}, x); }
Tensor exp(Operand x) { return record(Elementwise<Exp>{}, x); }
Tensor log(Operand x) { return record(Elementwise<Log>{}, x); }
Tensor abs(Operand x) { return record(Elementwise<Abs>{}, x); }
Tensor pow(Operand x, double exponent) { return record(Elementwise<PowConstant>{{exponent}}, x); }
Tensor pow(Operand a, Operand b) { return record(Elementwise<Pow>{}, a, b); }
Tensor sin(Operand x) { return record(Elementwise<Sin>{}, x); }
Tensor cos(Operand x) { return record(Elementwise<Cos>{}, x); }
Tensor maximum(Operand a, Operand b) { return record(Elementwise<Maximum>{}, a, b); }
Tensor minimum(Operand a, Operand b) { return record(Elementwise<Minimum>{}, a, b); }
Tensor clamp(Operand x, double lo, double hi) {
  if (!(lo <= hi)) throw Error(fmt::format("[clamp] the range {}..{} is empty", lo, hi));
  return record(Elementwise<Clamp>{{lo, hi}}, x);
}

}  // namespace rw
