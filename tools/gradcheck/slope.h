#pragma once

// Derivatives by finite differences with an error bound. Internal to tools/: use gradcheck.

#include <functional>
#include <limits>

namespace rw::detail {

inline constexpr double epsilon = std::numeric_limits<double>::epsilon();

/// A function of one variable, looked at around 0. May be nan or infinite.
using Line = std::function<double(double)>;

/// What finite differences say about f'(0).
struct Slope {
  double value = 0;
  /// |value - f'(0)| is at most this when f is smooth within the steps. Infinite when nothing can be said.
  double bound = std::numeric_limits<double>::infinity();
  /// Right minus left derivative, and its bound: a kink when it exceeds the bound.
  double jump = 0;
  double jump_bound = std::numeric_limits<double>::infinity();

  bool kink() const;
};

/// The most step sizes of one extrapolation.
inline constexpr int slope_rows = 8;

/// Central differences at steps h, h/2, h/4, ... extrapolated to 0 (C. J. F. Ridders, "Accurate computation of F'(x)
/// and F'(x) F''(x)", Advances in Engineering Software 4, 1982), where `f0` is f(0) and `noise` bounds the error of one
/// evaluation. Stops early once the bound is `wanted` or less.
Slope slope(const Line& f, double f0, double h, double noise, double wanted);

/// A bound of the rounding error of f's evaluations for |t| up to `h`, from tables of high differences (J. J. More and
/// S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33, 2011). Never below an ulp of f.
double noise_of(const Line& f, double h);

}  // namespace rw::detail
