#pragma once

#include <cmath>
#include <type_traits>

namespace rw {
#define RW_UNARY(F)                                       \
  inline float F(float x) { return __builtin_##F##f(x); } \
  inline double F(double x) { return __builtin_##F(x); }
RW_UNARY(exp)
RW_UNARY(log)
RW_UNARY(tanh)
RW_UNARY(erf)
RW_UNARY(erfc)
RW_UNARY(sin)
RW_UNARY(cos)
RW_UNARY(sqrt)
RW_UNARY(log1p)
RW_UNARY(expm1)
#undef RW_UNARY
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float abs(float x) { return __builtin_fabsf(x); }
inline double abs(double x) { return __builtin_fabs(x); }
inline float pow(float x, float y) { return __builtin_powf(x, y); }
inline double pow(double x, double y) { return __builtin_pow(x, y); }
template <class T>
concept Real = std::is_same_v<T, float> || std::is_same_v<T, double>;
template <Real T>
T square(T x) {
  return x * x;
}
template <Real T>
T sigmoid(T x) {
  T e = exp(-abs(x));
  return (x < 0 ? e : T(1)) / (1 + e);
}
template <Real T>
T softplus(T x) {
  return (x > 0 ? x : T(0)) + log1p(exp(-abs(x)));
}
template <Real T>
T normal_cdf(T x) {
  return T(0.5) * erfc(x * T(-0.70710678118654752440));
}
template <Real T>
T sign(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;
}
template <Real T>
T maximum(T a, T b) {
  return ((a > b) | (a != a)) ? a : b;
}
template <Real T>
T minimum(T a, T b) {
  return ((a < b) | (a != a)) ? a : b;
}
template <Real T>
T clamp(T x, T lo, T hi) {
  return minimum(maximum(x, lo), hi);
}
template <Real T>
T where(bool c, T a, T b) {
  return c ? a : b;
}
}  // namespace rw
