#pragma once

#include <limits>

#include <rewind/core/math_kernels.h>

namespace rw {

// Functions of one number, branch-free and inline, so that a loop over them becomes vector code (core/vector_loop.h).
// Where IEEE 754 and C agree on a special value, it is that one: nan in, nan out. The largest errors, in units in the
// last place, stand in tests/core/math.cpp, which measures them. A functor outside this namespace calls them as
// `rw::exp(x)`.

template <Real T>
REWIND_INLINE T abs(T x) {
  if constexpr (std::is_same_v<T, float>) return __builtin_fabsf(x);
  if constexpr (std::is_same_v<T, double>) return __builtin_fabs(x);
}

/// |x| with the sign of `from`.
template <Real T>
REWIND_INLINE T copysign(T x, T from) {
  if constexpr (std::is_same_v<T, float>) return __builtin_copysignf(x, from);
  if constexpr (std::is_same_v<T, double>) return __builtin_copysign(x, from);
}

template <Real T>
REWIND_INLINE T sqrt(T x) {
  if constexpr (std::is_same_v<T, float>) return __builtin_sqrtf(x);
  if constexpr (std::is_same_v<T, double>) return __builtin_sqrt(x);
}

/// The nearest integer, ties to even.
template <Real T>
REWIND_INLINE T round(T x) {
  if constexpr (std::is_same_v<T, float>) return __builtin_rintf(x);
  if constexpr (std::is_same_v<T, double>) return __builtin_rint(x);
}

/// The largest integer that is not above x.
template <Real T>
REWIND_INLINE T floor(T x) {
  if constexpr (std::is_same_v<T, float>) return __builtin_floorf(x);
  if constexpr (std::is_same_v<T, double>) return __builtin_floor(x);
}

template <Real T>
REWIND_INLINE T square(T x) {
  return x * x;
}

/// 1, -1 or 0; nan for nan.
template <Real T>
REWIND_INLINE T sign(T x) {
  return x > 0 ? T(1) : (x < 0 ? T(-1) : x);
}

/// a or b; both have been computed, so that there is no branch.
template <Real T>
REWIND_INLINE T where(bool condition, T a, T b) {
  return condition ? a : b;
}

/// The larger, the smaller; nan when either is.
template <Real T>
REWIND_INLINE T maximum(T a, T b) {
  return where((a > b) | (a != a), a, b);
}
template <Real T>
REWIND_INLINE T minimum(T a, T b) {
  return where((a < b) | (a != a), a, b);
}

/// a b, and 0 where either is 0, also if the other is infinite or nan.
template <Real T>
REWIND_INLINE T times0(T a, T b) {
  return where((a == 0) | (b == 0), T(0), a * b);
}

/// x, or the bound that it is beyond; nan when x is.
template <Real T>
REWIND_INLINE T clamp(T x, T lo, T hi) {
  return detail::within(x, lo, hi);
}

template <Real T>
REWIND_INLINE T exp(T x) {
  using F = detail::Format<T>;
  const auto [k, p] = detail::exp_reduced(detail::within(x, F::exp_least, F::exp_most), T(0));
  return detail::scale(1 + p, k);
}

/// e^x - 1, also for x near 0.
template <Real T>
REWIND_INLINE T expm1(T x) {
  return where(x > 39, exp(x), detail::expm1_near(detail::within(x, T(-39), T(39))));
}

/// The natural logarithm: -infinity at 0, nan below.
template <Real T>
REWIND_INLINE T log(T x) {
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T y = detail::log_of(detail::split_any(x), T(0));
  const T special = x == 0 ? -infinity : (x < 0 ? nan : x);
  return where((x > 0) & (x < infinity), y, special);
}

/// log(1 + x), also for x near 0.
template <Real T>
REWIND_INLINE T log1p(T x) {
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T u = 1 + x;
  const T lost = where(x < 1, x - (u - 1), 1 - (u - x));  // what the sum has rounded away
  const T y = detail::log_of(detail::split(u), lost / u);
  const T special = x == -1 ? -infinity : (x < -1 ? nan : x);
  return where((x > -1) & (x < infinity), y, special);
}

template <Real T>
REWIND_INLINE T tanh(T x) {
  const T e = detail::expm1_near(2 * minimum(abs(x), T(19.5)));
  return copysign(e / (e + 2), x);
}

/// 1 / (1 + e^-x), without overflow.
template <Real T>
REWIND_INLINE T sigmoid(T x) {
  const T e = exp(-abs(x));
  return (x < 0 ? e : T(1)) / (1 + e);
}

/// log(1 + e^x), without overflow.
template <Real T>
REWIND_INLINE T softplus(T x) {
  return maximum(x, T(0)) + log1p(exp(-abs(x)));
}

/// 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.
template <Real T>
REWIND_INLINE T erf(T x) {
  return where(abs(x) < T(0.65), detail::erf_near(x), copysign(1 - detail::erfc_far(abs(x)), x));
}

/// 1 - erf(x), also where that is small.
template <Real T>
REWIND_INLINE T erfc(T x) {
  const T far = detail::erfc_far(abs(x));
  return where(abs(x) < T(0.47), 1 - detail::erf_near(x), where(x < 0, 2 - far, far));
}

/// The probability that a standard normal number is below x, also where it is small: erfc(-x / sqrt(2)) / 2.
template <Real T>
REWIND_INLINE T normal_cdf(T x) {
  const T half = T(0.5), z = detail::within(abs(x), T(0), T(39)), z_scaled = z * T(0.70710678118654752);
  const T far = detail::gaussian(z, half, half * detail::erfcx(z_scaled));
  const T near = fma(half, copysign(detail::erf_near(z_scaled), x), half);
  return where(z < T(0.66), near, where(x > 0, 1 - far, far));
}

/// The density of the standard normal distribution, e^(-x^2 / 2) / sqrt(2 pi).
template <Real T>
REWIND_INLINE T normal_pdf(T x) {
  return detail::gaussian(detail::within(x, T(-39), T(39)), T(0.5), T(0.39894228040143268));
}

/// Sine and cosine of x in radians, |x| <= 2^49 (5.6e14); nan beyond, where doubles stand further apart than 1/16.
template <Real T>
REWIND_INLINE T sin(T x) {
  const detail::Quarter q = detail::quarter(x);
  const double y = q.n & 1 ? q.cos : q.sin;
  return static_cast<T>(detail::from_bits<double>(detail::bits(y) ^ ((q.n & 2) << 62)));
}
template <Real T>
REWIND_INLINE T cos(T x) {
  const detail::Quarter q = detail::quarter(x);
  const double y = q.n & 1 ? q.sin : q.cos;
  return static_cast<T>(detail::from_bits<double>(detail::bits(y) ^ (((q.n + 1) & 2) << 62)));
}

/// x^y for any x and y, as C's pow: nan for x < 0 unless y is an integer; 1 for y == 0 and for x == 1.
template <Real T>
REWIND_INLINE T pow(T x, T y) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double a = abs(static_cast<double>(x)), b = y;
  detail::Pair log = {detail::log_of(detail::split(a), 0.0), 0};
  if constexpr (std::is_same_v<T, double>) log = detail::log_pair(a);
  log.hi = where(a == 0, -infinity, where(a < infinity, log.hi, a));
  const double e = b * log.hi;
  const double e_lo = where(abs(e) < 800, fma(b, log.hi, -e) + b * log.lo, 0.0);
  const auto [k, p] = detail::exp_reduced(detail::within(e, -746.0, 710.0), e_lo);
  const double size = detail::scale(1 + p, k);

  const bool whole = round(b) == b, odd = whole & (round(0.5 * b) != 0.5 * b);
  const bool undefined = (x < 0) & (a < infinity) & !whole;
  const bool one = (b == 0) | (x == 1) | ((a == 1) & (abs(b) == infinity));
  const double signed_size = where(odd, copysign(size, static_cast<double>(x)), size);
  return static_cast<T>(where(one, 1.0, where(undefined, std::numeric_limits<double>::quiet_NaN(), signed_size)));
}

}  // namespace rw
