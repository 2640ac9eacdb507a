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
  static constexpr Arithmetic arithmetic = Arithmetic::add;
  static constexpr std::uint32_t passes_gradient = 0b11;
  auto f(auto a, auto b) const { return a + b; }
  template <int I, class T>
  T vjp(Arg<I>, T, T, T, T dy) const {
    return dy;
  }
};

struct Sub {
  static constexpr std::string_view name = "sub";
  static constexpr Arithmetic arithmetic = Arithmetic::sub;
  static constexpr std::uint32_t passes_gradient = 0b01;
  auto f(auto a, auto b) const { return a - b; }
  auto vjp(Arg<0>, auto, auto, auto, auto dy) const { return dy; }
  auto vjp(Arg<1>, auto, auto, auto, auto dy) const { return -dy; }
};

struct Mul {
  static constexpr std::string_view name = "mul";
  static constexpr Arithmetic arithmetic = Arithmetic::mul;
  auto f(auto a, auto b) const { return a * b; }
  auto vjp(Arg<0>, auto, auto b, auto, auto dy) const { return times0(dy, b); }
  auto vjp(Arg<1>, auto a, auto, auto, auto dy) const { return times0(dy, a); }
};

struct Times0 {
  static constexpr std::string_view name = "times0";
  static constexpr Arithmetic arithmetic = Arithmetic::times0;
  auto f(auto a, auto b) const { return times0(a, b); }
  auto vjp(Arg<0>, auto, auto b, auto, auto dy) const { return times0(dy, b); }
  auto vjp(Arg<1>, auto a, auto, auto, auto dy) const { return times0(dy, a); }
};

struct Div {
  static constexpr std::string_view name = "div";
  static constexpr Arithmetic arithmetic = Arithmetic::div;
  auto f(auto a, auto b) const { return a / b; }
  auto vjp(Arg<0>, auto, auto b, auto, auto dy) const { return times0(dy, 1 / b); }
  auto vjp(Arg<1>, auto, auto b, auto y, auto dy) const { return -times0(dy, y / b); }
};

struct Neg {
  static constexpr std::string_view name = "neg";
  static constexpr Arithmetic arithmetic = Arithmetic::neg;
  auto f(auto x) const { return -x; }
  auto vjp(auto, auto, auto dy) const { return -dy; }
};

struct Square {
  static constexpr std::string_view name = "square";
  auto f(auto x) const { return x * x; }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, 2 * x); }
};

struct Abs {
  static constexpr std::string_view name = "abs";
  auto f(auto x) const { return abs(x); }
  template <class T>
  T vjp(T x, T, T dy) const {
    return where(x > 0, dy, where(x < 0, -dy, Number<T>(0)));
  }
};

struct Maximum {
  static constexpr std::string_view name = "maximum";
  auto f(auto a, auto b) const { return maximum(a, b); }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return where(a > b, dy, where(a < b, Number<T>(0), Number<T>(0.5) * dy));
  }
  template <class T>
  T vjp(Arg<1>, T a, T b, T, T dy) const {
    return where(b > a, dy, where(b < a, Number<T>(0), Number<T>(0.5) * dy));
  }
};

struct Minimum {
  static constexpr std::string_view name = "minimum";
  auto f(auto a, auto b) const { return minimum(a, b); }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return where(a < b, dy, where(a > b, Number<T>(0), Number<T>(0.5) * dy));
  }
  template <class T>
  T vjp(Arg<1>, T a, T b, T, T dy) const {
    return where(b < a, dy, where(b > a, Number<T>(0), Number<T>(0.5) * dy));
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
    return where(x >= Number<T>(lo), where(x <= Number<T>(hi), dy, Number<T>(0)), Number<T>(0));
  }
};

}  // namespace

Tensor add(Operand a, Operand b) { return record(Elementwise<Add>{}, a, b); }
Tensor sub(Operand a, Operand b) { return record(Elementwise<Sub>{}, a, b); }
Tensor mul(Operand a, Operand b) { return record(Elementwise<Mul>{}, a, b); }
Tensor times0(Operand a, Operand b) { return record(Elementwise<Times0>{}, a, b); }
Tensor div(Operand a, Operand b) { return record(Elementwise<Div>{}, a, b); }
Tensor neg(Operand x) { return record(Elementwise<Neg>{}, x); }
Tensor square(Operand x) { return record(Elementwise<Square>{}, x); }
Tensor abs(Operand x) { return record(Elementwise<Abs>{}, x); }
Tensor maximum(Operand a, Operand b) { return record(Elementwise<Maximum>{}, a, b); }
Tensor minimum(Operand a, Operand b) { return record(Elementwise<Minimum>{}, a, b); }
Tensor clamp(Operand x, double lo, double hi) {
  if (!(lo <= hi)) throw Error(fmt::format("[clamp] the range {}..{} is empty", lo, hi));
  return record(Elementwise<Clamp>{{lo, hi}}, x);
}

}  // namespace rw
