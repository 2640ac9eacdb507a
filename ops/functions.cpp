#include <limits>

#include <fmt/format.h>

#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/functions.h>

namespace rw {
namespace {

struct Sqrt {
  static constexpr std::string_view name = "sqrt";
  auto f(auto x) const { return sqrt(x); }
  template <class T>
  T vjp(T, T y, T dy) const {
    return times0(dy, Number<T>(0.5) / y);
  }
};

struct Exp {
  static constexpr std::string_view name = "exp";
  auto f(auto x) const { return exp(x); }
  auto vjp(auto, auto y, auto dy) const { return times0(dy, y); }
};

struct Log {
  static constexpr std::string_view name = "log";
  auto f(auto x) const { return log(x); }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, 1 / x); }
};

struct Expm1 {
  static constexpr std::string_view name = "expm1";
  auto f(auto x) const { return expm1(x); }
  auto vjp(auto, auto y, auto dy) const { return times0(dy, y + 1); }
};

struct Log1p {
  static constexpr std::string_view name = "log1p";
  auto f(auto x) const { return log1p(x); }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, 1 / (1 + x)); }
};

struct Floor {
  static constexpr std::string_view name = "floor";
  auto f(auto x) const { return floor(x); }
};

struct Sign {
  static constexpr std::string_view name = "sign";
  auto f(auto x) const { return sign(x); }
};

struct Mod {
  static constexpr std::string_view name = "mod";
  template <class T>
  T f(T a, T b) const {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    // a / b was rounded: the rest may be beyond an end by as much. Nothing is left out of a by an infinite b.
    const T all = where(abs(a) < infinity, a, a - a);  // nan without a limit
    const T rest = where(abs(b) == infinity, all, fma(-floor(a / b), b, a));
    const T within = where(abs(rest) >= abs(b), rest - b, rest);
    return where((within < 0) == (b < 0), within, where(within == 0, within, within + b));
  }
  auto vjp(Arg<0>, auto, auto, auto, auto dy) const { return dy; }
  auto vjp(Arg<1>, auto a, auto b, auto, auto dy) const { return -times0(dy, floor(a / b)); }
};

struct PowerOfTwo {
  static constexpr std::string_view name = "power_of_two";
  template <class T>
  T f(T x) const {
    using F = detail::Format<T>;
    constexpr detail::Bits<T> exponent = (detail::Bits<T>{2} * F::bias + 1) << F::mantissa;
    const T power = detail::from_bits<T>(detail::bits(x) & exponent);
    return where(x == x, clamp(power, F::smallest_normal, 1 / F::smallest_normal), x);
  }
};

struct PowConstant {
  static constexpr std::string_view name = "pow_constant";
  double exponent = 1;
  std::string describe() const { return fmt::format("{}", exponent); }
  float f(float x) const { return pow(x, static_cast<float>(exponent)); }
  double f(double x) const { return pow(x, exponent); }
  template <class T>
  T vjp(T x, T, T dy) const {
    return times0(dy, times0(Number<T>(exponent), pow(x, Number<T>(exponent - 1))));
  }
};

struct Pow {
  static constexpr std::string_view name = "pow";
  auto f(auto a, auto b) const { return pow(a, b); }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return times0(dy, times0(b, pow(a, b - 1)));
  }
  template <class T>
  T vjp(Arg<1>, T a, T, T y, T dy) const {
    return times0(dy, times0(y, log(where(nonzero(a), a, Number<T>(1)))));  // 0^b is flat in b
  }

 private:
  static bool nonzero(float x) { return x != 0; }
  static bool nonzero(double x) { return x != 0; }
  static Tensor nonzero(Tensor x) { return not_equal(x, 0); }
};

struct Sin {
  static constexpr std::string_view name = "sin";
  auto f(auto x) const { return sin(x); }
  auto vjp(auto x, auto, auto dy) const { return times0(dy, cos(x)); }
};

struct Cos {
  static constexpr std::string_view name = "cos";
  auto f(auto x) const { return cos(x); }
  auto vjp(auto x, auto, auto dy) const { return -times0(dy, sin(x)); }
};

}  // namespace

Tensor sqrt(Operand x) { return record(Elementwise<Sqrt>{}, x); }
Tensor exp(Operand x) { return record(Elementwise<Exp>{}, x); }
Tensor expm1(Operand x) { return record(Elementwise<Expm1>{}, x); }
Tensor log(Operand x) { return record(Elementwise<Log>{}, x); }
Tensor log1p(Operand x) { return record(Elementwise<Log1p>{}, x); }
Tensor pow(Operand x, double exponent) { return record(Elementwise<PowConstant>{{exponent}}, x); }
Tensor pow(Operand a, Operand b) { return record(Elementwise<Pow>{}, a, b); }
Tensor sin(Operand x) { return record(Elementwise<Sin>{}, x); }
Tensor cos(Operand x) { return record(Elementwise<Cos>{}, x); }
Tensor floor(Operand x) { return record(Elementwise<Floor>{}, x); }
Tensor power_of_two(Operand x) { return record(Elementwise<PowerOfTwo>{}, x); }
Tensor sign(Operand x) { return record(Elementwise<Sign>{}, x); }
Tensor mod(Operand a, Operand b) { return record(Elementwise<Mod>{}, a, b); }

}  // namespace rw
