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
  auto vjp(auto, auto y, auto dy) const { return dy / (2 * y); }
};

struct Exp {
  static constexpr std::string_view name = "exp";
  auto f(auto x) const { return exp(x); }
  auto vjp(auto, auto y, auto dy) const { return dy * y; }
};

struct Log {
  static constexpr std::string_view name = "log";
  auto f(auto x) const { return log(x); }
  auto vjp(auto x, auto, auto dy) const { return dy / x; }
};

struct PowConstant {
  static constexpr std::string_view name = "pow_constant";
  double exponent = 1;
  std::string describe() const { return fmt::format("{}", exponent); }
  float f(float x) const { return pow(x, static_cast<float>(exponent)); }
  double f(double x) const { return pow(x, exponent); }
  template <class T>
  T vjp(T x, T, T dy) const {
    // Of a constant 1 the gradient is 0 at 0 too, where pow(0, -1) would make it nan.
    return dy * (Number<T>(exponent) * pow(x, Number<T>(exponent == 0 ? 1 : exponent - 1)));
  }
};

struct Pow {
  static constexpr std::string_view name = "pow";
  auto f(auto a, auto b) const { return pow(a, b); }
  template <class T>
  T vjp(Arg<0>, T a, T b, T, T dy) const {
    return where(nonzero(b), dy * (b * pow(a, b - 1)), Number<T>(0));
  }
  template <class T>
  T vjp(Arg<1>, T a, T, T y, T dy) const {
    return dy * (y * log(where(nonzero(a), a, Number<T>(1))));  // 0^b is flat in b
  }

 private:
  static bool nonzero(float x) { return x != 0; }
  static bool nonzero(double x) { return x != 0; }
  static Tensor nonzero(Tensor x) { return not_equal(x, 0); }
};

struct Sin {
  static constexpr std::string_view name = "sin";
  auto f(auto x) const { return sin(x); }
  auto vjp(auto x, auto, auto dy) const { return dy * cos(x); }
};

struct Cos {
  static constexpr std::string_view name = "cos";
  auto f(auto x) const { return cos(x); }
  auto vjp(auto x, auto, auto dy) const { return -dy * sin(x); }
};

}  // namespace

Tensor sqrt(Operand x) { return record(Elementwise<Sqrt>{}, x); }
Tensor exp(Operand x) { return record(Elementwise<Exp>{}, x); }
Tensor log(Operand x) { return record(Elementwise<Log>{}, x); }
Tensor pow(Operand x, double exponent) { return record(Elementwise<PowConstant>{{exponent}}, x); }
Tensor pow(Operand a, Operand b) { return record(Elementwise<Pow>{}, a, b); }
Tensor sin(Operand x) { return record(Elementwise<Sin>{}, x); }
Tensor cos(Operand x) { return record(Elementwise<Cos>{}, x); }

}  // namespace rw
