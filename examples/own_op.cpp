// An op of one's own, with an attribute, checked, and used in a second derivative.
#include <cmath>
#include <iostream>

#include <rewind/rewind.h>

/// tanh(x) + slope x (a leaky tanh).
struct LeakyTanh {
  static constexpr std::string_view name = "leaky_tanh";
  double slope = 0.1;
  template <class T>
  T f(T x) const {
    return rw::tanh(x) + rw::Number<T>(slope) * x;
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    const auto y = rw::tanh(x);
    return rw::times0(dy, 1 - y * y + rw::Number<T>(slope));
  }
};

rw::Tensor leaky_tanh(rw::Operand x, double slope) { return rw::record(rw::Elementwise<LeakyTanh>{{slope}}, x); }

int main() {
  const auto report = rw::check_op(
      "leaky_tanh", [](rw::Tensor x) { return leaky_tanh(x, 0.1); }, [](double x) { return std::tanh(x) + 0.1 * x; });
  std::cout << report << '\n';

  rw::Tape tape(rw::DType::f64);
  const rw::Tensor x = tape.variable(rw::Array({-1.0, 0.0, 0.5}, {3}));
  const rw::Tensor slope = rw::grad(rw::sum(leaky_tanh(x, 0.1)), x);
  const rw::Tensor curvature = rw::grad(rw::sum(slope), x);
  std::cout << "x         " << x << "\nslope     " << slope << "\ncurvature " << curvature << '\n';
  return report ? 0 : 1;
}
