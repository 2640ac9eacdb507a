#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

// What core/math.h is made of: reductions of the argument and polynomials, without branches and calls. The coefficients
// are minimax fits (Remez), with the error that the fit leaves beside them. Rounding is to nearest.

#define REWIND_INLINE [[gnu::always_inline]] inline

namespace rw {

/// float or double.
template <class T>
concept Real = std::is_same_v<T, float> || std::is_same_v<T, double>;

/// a b + c, rounded once: the same bits on every processor (where it has no such instruction, slowly).
REWIND_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
REWIND_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }

namespace detail {

template <Real T>
struct Format;

template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int mantissa = 23;
  static constexpr Bits bias = 127;
  static constexpr float smallest_normal = 0x1p-126f;
  static constexpr float to_integer = 0x1.8p23f;  // adding it rounds to an integer, which then stands in the low bits
  static constexpr float sqrt_half = 0x1.6a09e6p-1f;
  static constexpr float log2_e = 0x1.715476p+0f;
  static constexpr float ln2_hi = 0x1.62e43p-1f, ln2_lo = -0x1.05c61p-29f;
  static constexpr float exp_least = -104, exp_most = 89;  // beyond, e^x is 0 or infinite
};

template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int mantissa = 52;
  static constexpr Bits bias = 1023;
  static constexpr double smallest_normal = 0x1p-1022;
  static constexpr double to_integer = 0x1.8p52;
  static constexpr double sqrt_half = 0x1.6a09e667f3bcdp-1;
  static constexpr double log2_e = 0x1.71547652b82fep+0;
  static constexpr double ln2_hi = 0x1.62e42fefa39efp-1, ln2_lo = 0x1.abc9e3b39803fp-56;
  static constexpr double exp_least = -746, exp_most = 710;
};

template <Real T>
using Bits = typename Format<T>::Bits;

template <Real T>
REWIND_INLINE Bits<T> bits(T x) {
  return std::bit_cast<Bits<T>>(x);
}
template <Real T>
REWIND_INLINE T from_bits(Bits<T> b) {
  return std::bit_cast<T>(b);
}

/// Horner's rule, coefficients from the highest power down.
template <Real T, class... C>
REWIND_INLINE T poly(T x, T highest, C... lower) {
  ((highest = fma(highest, x, static_cast<T>(lower))), ...);
  return highest;
}

/// x, or the bound beyond it; nan stays.
template <Real T>
REWIND_INLINE T within(T x, T lo, T hi) {
  x = x > hi ? hi : x;
  return x < lo ? lo : x;
}

/// a + b = 2^k (1 + p), for |a| <= 750 (f64) or 105 (f32) and a small b that only adds digits.
template <Real T>
struct Power {
  Bits<T> k;
  T p;
};
template <Real T>
REWIND_INLINE Power<T> exp_reduced(T a, T b) {
  using F = Format<T>;
  const T shifted = fma(a, F::log2_e, F::to_integer);
  const T n = shifted - F::to_integer;
  const T r = fma(-n, F::ln2_lo, fma(-n, F::ln2_hi, a)) + b;
  T q;  // e^r = 1 + r + r^2 q
  if constexpr (std::is_same_v<T, float>) {
    q = poly(r, 0x1.6da0cep-10f, 0x1.122d8ep-7f, 0x1.55547ep-5f, 0x1.5554a8p-3f, 0x1p-1f);  // 2^-26
  } else {
    q = poly(r, 0x1.1f989c6d69378p-29, 0x1.af63bbdbcba94p-26, 0x1.27e4c38de8585p-22, 0x1.71ddf5ac0d47cp-19,
             0x1.a01a01b1ad3e3p-16, 0x1.a01a01b0db6cbp-13, 0x1.6c16c16c1413ep-10, 0x1.111111110f485p-7,
             0x1.555555555555bp-5, 0x1.5555555555559p-3, 0x1p-1);  // 2^-61
  }
  return {bits(shifted) - bits(F::to_integer), fma(r * r, q, r)};
}

/// x 2^k in two steps, so that the result may be subnormal (rounded once) or infinite.
template <Real T>
REWIND_INLINE T scale(T x, Bits<T> k) {
  using F = Format<T>;
  const Bits<T> biased = k + 2 * F::bias;
  const Bits<T> half = biased >> 1;
  return x * from_bits<T>(half << F::mantissa) * from_bits<T>((biased - half) << F::mantissa);
}

/// e^x - 1 for |x| < 40.
template <Real T>
REWIND_INLINE T expm1_near(T x) {
  const auto [k, p] = exp_reduced(x, T(0));
  const T power = from_bits<T>((k + Format<T>::bias) << Format<T>::mantissa);
  return fma(power, p, power - 1);
}

/// x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), for normal x > 0.
template <Real T>
struct Split {
  T k, f;
};
template <Real T>
REWIND_INLINE Split<T> split(T x) {
  using F = Format<T>;
  const Bits<T> shifted = bits(x) + (bits(T(1)) - bits(F::sqrt_half));
  const Bits<T> mantissa = shifted & ((Bits<T>{1} << F::mantissa) - 1);
  const T k = from_bits<T>(bits(F::to_integer) + (shifted >> F::mantissa)) - (F::to_integer + T(F::bias));
  return {k, from_bits<T>(mantissa + bits(F::sqrt_half)) - 1};
}
/// The same for any x > 0.
template <Real T>
REWIND_INLINE Split<T> split_any(T x) {
  const bool subnormal = x < Format<T>::smallest_normal;
  const auto [k, f] = split(x * (subnormal ? T(0x1p54) : T(1)));
  return {k - (subnormal ? T(54) : T(0)), f};
}

/// With s = f / (2 + f) and z = s^2: log(1 + f) = 2 s + s z R(z).
REWIND_INLINE double log_series(double z) {
  return poly(z, 0x1.2f572135adcc4p-3, 0x1.3999f75be9a2ep-3, 0x1.7466884644994p-3, 0x1.c71c50b6a2fa5p-3,
              0x1.24924943793a6p-2, 0x1.999999997e3e5p-2, 0x1.5555555555597p-1);  // 2^-58
}

/// k log 2 + log(1 + f) + c, where c only adds digits.
template <Real T>
REWIND_INLINE T log_of(Split<T> x, T c) {
  using F = Format<T>;
  const auto [k, f] = x;
  T rest;  // log(1 + f) - f
  if constexpr (std::is_same_v<T, float>) {
    const float p = poly(f, -0x1.41f8a2p-4f, 0x1.08132cp-3f, -0x1.0cfb32p-3f, 0x1.226688p-3f, -0x1.54754cp-3f,
                         0x1.99a5d8p-3f, -0x1.00022cp-2f, 0x1.55554ap-2f);  // 2^-27
    rest = fma(f * f, fma(f, p, -0.5f), fma(k, F::ln2_lo, c));
  } else {
    const double s = f / (2 + f), z = s * s, half_square = 0.5 * f * f;
    rest = fma(s, fma(z, log_series(z), half_square), fma(k, F::ln2_lo, c)) - half_square;
  }
  return fma(k, F::ln2_hi, f + rest);
}

/// A number in two parts, the second for the digits that the first has no room for.
struct Pair {
  double hi, lo;
};

/// log x in about 65 bits for 0 < x < infinity: 2 s and the first term of the series in two parts each.
REWIND_INLINE Pair log_pair(double x) {
  const auto [k, f] = split_any(x);
  const double d = 2 + f, d_lo = f - (d - 2), inverse = 1 / d;
  const double s = f * inverse, s_lo = (fma(-s, d, f) - s * d_lo) * inverse;
  const double z = s * s, z_lo = fma(s, s, -z) + 2 * s * s_lo;
  const double w = s * z, w_lo = fma(s, z, -w) + (s * z_lo + s_lo * z);
  const double third = 0x1.5555555555555p-1, third_lo = 0x1.5555555555555p-55;  // 2/3
  const double v = third * w, v_lo = fma(third, w, -v) + (third * w_lo + third_lo * w);
  const double q = poly(z, 0x1.0cf9342b80258p-3, 0x1.0fa74867fc293p-3, 0x1.3b1d088119fb3p-3, 0x1.745cf5ba2076ep-3,
                        0x1.c71c7205d3d11p-3, 0x1.2492492478dap-2, 0x1.99999999999dfp-2);  // 2^-64
  const double n = k * 0x1.62e42fefa38p-1;                                                 // exact
  const double a = n + 2 * s, a_lo = 2 * s - (a - n);
  const double b = a + v, b_lo = v - (b - a);
  return {b, fma(k, 0x1.ef35793c7673p-45, fma(w * z, q, 2 * s_lo + v_lo)) + (a_lo + b_lo)};
}

/// e^(x^2) erfc(x) for x >= 0, from a fit of its product with 1 + 2x, which varies slowly, in (x - c) / (x + c).
template <Real T>
REWIND_INLINE T erfcx(T x) {
  T p;
  if constexpr (std::is_same_v<T, float>) {
    p = poly((x - 3) / (x + 3), -0x1.18f664p-12f, -0x1.97ae7cp-11f, 0x1.064dd8p-9f, 0x1.507a04p-9f, -0x1.85e4bp-6f,
             0x1.17bd76p-4f, -0x1.e888c2p-4f, 0x1.09840cp-3f, -0x1.85a192p-5f, -0x1.15c08ap-3f,
             0x1.40c522p+0f);  // 2^-28
  } else {
    p = poly((x - 4) / (x + 4), -0x1.e7dd81723ee88p-30, -0x1.d2ca17a99e482p-27, -0x1.0e1649f422458p-27,
             0x1.edeb55edce453p-24, 0x1.0de75c62f49cbp-24, -0x1.c011f9a2d2b76p-21, 0x1.4393b2f1cc615p-22,
             0x1.7fb02232d1e92p-18, -0x1.78a4f54ff3e36p-17, -0x1.9969b9a384bc1p-16, 0x1.3be0bcb3b232dp-13,
             -0x1.a1de87a5bf8ccp-13, -0x1.8d4a9e94e4d69p-11, 0x1.49c6719b406b4p-8, -0x1.0962388214504p-6,
             0x1.3079edf9ca366p-5, -0x1.0fb06dfe4fd54p-4, 0x1.7fee004df8836p-4, -0x1.9ddb23c3e90c2p-4,
             0x1.16ecefcfa5f45p-4, 0x1.f7f5df66fd80bp-7, -0x1.1df1ad154a29bp-3, 0x1.3ba5916e9fd7fp+0);  // 2^-56
  }
  return p / fma(T(2), x, T(1));
}

/// factor e^(-c x^2) for a power of two c and c x^2 < 800; the square in two parts, since an error in it is one in the
/// result.
template <Real T>
REWIND_INLINE T gaussian(T x, T c, T factor) {
  const T square = x * x;
  const T square_lo = fma(x, x, -square);
  const auto [k, p] = exp_reduced(within(-square * c, Format<T>::exp_least, T(0)), -square_lo * c);
  return scale(fma(factor, p, factor), k);
}

/// erfc(x) for x >= 0, erf(x) for |x| < 0.7.
template <Real T>
REWIND_INLINE T erfc_far(T x) {
  x = within(x, T(0), T(28));
  return gaussian(x, T(1), erfcx(x));
}
template <Real T>
REWIND_INLINE T erf_near(T x) {
  const T z = x * x;
  T p;
  if constexpr (std::is_same_v<T, float>) {
    p = poly(z, 0x1.20ae04p-8f, -0x1.b36256p-6f, 0x1.ce01bcp-4f, -0x1.8126bp-2f, 0x1.06eba6p-3f);  // 2^-25
  } else {
    p = poly(z, -0x1.22a6490ec5761p-23, 0x1.b34f4f4eedb1ep-20, -0x1.f46b59ec32406p-17, 0x1.f99f53997p-14,
             -0x1.c02d9d69fe0ecp-11, 0x1.565bccbd15682p-8, -0x1.b82ce31137ed5p-6, 0x1.ce2f21a03ff98p-4,
             -0x1.812746b0379c3p-2, 0x1.06eba8214db68p-3);  // 2^-57
  }
  return fma(x, p, x);
}

/// x = n pi/2 + r, |r| <= pi/4: sin r and cos r, and n in the low bits.
struct Quarter {
  std::uint64_t n;
  double sin, cos;
};
REWIND_INLINE Quarter quarter(double x) {
  using F = Format<double>;
  x = __builtin_fabs(x) <= 0x1p49 ? x : std::numeric_limits<double>::quiet_NaN();  // beyond, n would be wrong
  const double shifted = fma(x, 0x1.45f306dc9c883p-1, F::to_integer);
  const double n = shifted - F::to_integer;
  double r = fma(-n, 0x1.921fb54442d18p+0, x);
  r = fma(-n, 0x1.1a62633145c07p-54, r);
  r = fma(-n, -0x1.f1976b7ed8fbcp-110, r);
  const double z = r * r;
  const double s = poly(z, -0x1.aa5913f26d3f6p-41, 0x1.611ff603e9ap-33, -0x1.ae64519dacc91p-26, 0x1.71de3a527593ap-19,
                        -0x1.a01a01a01814ap-13, 0x1.1111111111108p-7, -0x1.5555555555555p-3);  // 2^-67
  const double c = poly(z, -0x1.8f6ae5be81c1ap-37, 0x1.1ee96c169735ap-29, -0x1.27e4f7544ce35p-22, 0x1.a01a019bc33a6p-16,
                        -0x1.6c16c16c148b5p-10, 0x1.5555555555548p-5);  // 2^-63
  return {bits(shifted), fma(r * z, s, r), fma(z * z, c, fma(z, -0.5, 1.0))};
}

}  // namespace detail
}  // namespace rw
