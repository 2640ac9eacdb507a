#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/math.h>
#include <rewind/core/vector_loop.h>

namespace {

using rw::Index;

/// |got - want| in units in the last place of T at `want` (of subnormal numbers where want is one).
template <class T>
double ulps(T got, long double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : INFINITY;
  constexpr int digits = std::numeric_limits<T>::digits, least = std::numeric_limits<T>::min_exponent - 1;
  const T rounded = static_cast<T>(want);
  if (std::isinf(rounded) && got == rounded) return 0;
  if (std::isinf(got)) return std::abs(want) > std::numeric_limits<T>::max() * (1 - 0x1p-23L) ? 1 : INFINITY;
  const int exponent = want == 0 ? least : std::max(std::ilogb(want), least);
  return static_cast<double>(std::abs(std::ldexp(static_cast<long double>(got) - want, digits - 1 - exponent)));
}

/// Bit patterns of every exponent and sign, and numbers of the size that networks have.
template <class T>
std::vector<T> samples(T limit) {
  std::mt19937_64 bits(1);
  std::vector<T> x = {0,
                      T(-0.0),
                      1,
                      -1,
                      INFINITY,
                      -INFINITY,
                      NAN,
                      std::numeric_limits<T>::min(),
                      std::numeric_limits<T>::denorm_min(),
                      std::numeric_limits<T>::max()};
  while (x.size() < 120'000) {
    x.push_back(std::bit_cast<T>(static_cast<rw::detail::Bits<T>>(bits())));
    const double unit = static_cast<double>(bits()) * 0x1p-63 - 1;
    x.push_back(static_cast<T>(unit * 4));
    x.push_back(static_cast<T>(unit * 110));
    x.push_back(static_cast<T>(unit * 1e5));
    x.push_back(static_cast<T>(unit * std::exp2(-static_cast<double>(bits() % 40))));
    x.push_back(static_cast<T>(unit * 760));
  }
  std::erase_if(x, [&](T v) { return std::abs(v) > limit; });
  return x;
}

template <class T, class Fn>
double worst_ulps(long double (*reference)(long double), T limit) {
  const std::vector<T> x = samples<T>(limit);
  std::vector<T> y(x.size());
  const T* inputs[] = {x.data()};
  const rw::VectorLoop loop = rw::vector_loop<Fn, 1>();
  const Fn fn;
  loop.of<T>()(&fn, static_cast<Index>(x.size()), inputs, y.data());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const T alone = loop.one<T>()(&fn, x[i], 0, 0, 0);
    const bool same = std::isnan(alone) ? std::isnan(y[i]) : std::memcmp(&alone, &y[i], sizeof(T)) == 0;
    if (!same) FAIL_CHECK("at " << x[i] << ": " << alone << " alone, " << y[i]);
    const double error = ulps(y[i], reference(x[i]));
    if (error > worst) worst = error;
    if (error == INFINITY) FAIL_CHECK("at " << x[i] << ": " << y[i]);
  }
  return worst;
}

long double sigmoid_reference(long double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
long double softplus_reference(long double x) {
  return std::fmax(x, 0.0L) + std::log1p(std::exp(-std::abs(x))) + x * 0;
}
long double cdf_reference(long double x) { return std::erfc(-x * std::sqrt(0.5L)) / 2; }
long double pdf_reference(long double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0L)); }

}  // namespace

// The bounds are the largest errors seen over all 2^32 floats (exp, log, tanh, sigmoid) or some million numbers, and a
// little.
#define CHECK_ULPS(name, reference, limit, f32, f64)                               \
  SUBCASE(#name) {                                                                 \
    struct Fn {                                                                    \
      float operator()(float x) const { return rw::name(x); }                      \
      double operator()(double x) const { return rw::name(x); }                    \
    };                                                                             \
    CHECK(worst_ulps<float, Fn>(reference, static_cast<float>(limit)) <= (f32));   \
    CHECK(worst_ulps<double, Fn>(reference, static_cast<double>(limit)) <= (f64)); \
  }

TEST_CASE("functions of one number are within their error bounds for all finite inputs, and right at the limits"){
    CHECK_ULPS(exp, std::exp, INFINITY, 1.1, 1.1) CHECK_ULPS(expm1, std::expm1, INFINITY, 2, 2)
        CHECK_ULPS(log, std::log, INFINITY, 1, 1) CHECK_ULPS(log1p, std::log1p, INFINITY, 1, 1)
            CHECK_ULPS(tanh, std::tanh, INFINITY, 2.6, 2.6) CHECK_ULPS(sigmoid, sigmoid_reference, 1e4, 2.5, 2.5)
                CHECK_ULPS(softplus, softplus_reference, 1e4, 2, 2) CHECK_ULPS(erf, std::erf, INFINITY, 2, 2)
                    CHECK_ULPS(erfc, std::erfc, INFINITY, 4, 4) CHECK_ULPS(normal_cdf, cdf_reference, 1e4, 4, 4)
                        CHECK_ULPS(normal_pdf, pdf_reference, 1e4, 2, 2) CHECK_ULPS(sin, std::sin, 0x1p49, 2, 2)
                            CHECK_ULPS(cos, std::cos, 0x1p49, 2, 2) CHECK_ULPS(sqrt, std::sqrt, INFINITY, 0.5, 0.5)}

TEST_CASE_TEMPLATE("special values", T, float, double) {
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(rw::exp(-inf) == 0);
  CHECK(rw::exp(inf) == inf);
  CHECK(rw::exp(T(0)) == 1);
  CHECK(rw::log(T(0)) == -inf);
  CHECK(std::isnan(rw::log(T(-1))));
  CHECK(rw::log(T(1)) == 0);
  CHECK(rw::tanh(inf) == 1);
  CHECK(rw::tanh(-inf) == -1);
  CHECK(rw::sigmoid(-inf) == 0);
  CHECK(rw::sigmoid(inf) == 1);
  CHECK(rw::sigmoid(T(0)) == T(0.5));
  CHECK(rw::softplus(inf) == inf);
  CHECK(rw::softplus(-inf) == 0);
  CHECK(rw::log1p(T(-1)) == -inf);
  CHECK(rw::erf(inf) == 1);
  CHECK(rw::normal_cdf(-inf) == 0);
  for (T y : {rw::exp(nan), rw::log(nan), rw::tanh(nan), rw::sigmoid(nan), rw::softplus(nan), rw::erf(nan),
              rw::sin(nan), rw::cos(inf), rw::sin(T(1e30)), rw::cos(T(-0x1.1p49)), rw::sqrt(nan), rw::sign(nan),
              rw::normal_cdf(nan), rw::abs(nan), rw::square(nan)}) {
    CHECK(std::isnan(y));
  }
}

TEST_CASE("the smallest sigmoids are subnormal numbers, not zero") {
  CHECK(rw::sigmoid(-100.0f) == doctest::Approx(std::exp(-100.0)).epsilon(0.05));
  CHECK(rw::sigmoid(-100.0f) > 0);
  CHECK(rw::sigmoid(-740.0) > 0);
}

TEST_CASE_TEMPLATE("maximum and minimum pass nan on, clamp keeps it, where chooses", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(rw::maximum(T(2), T(3)) == 3);
  CHECK(rw::minimum(T(2), T(3)) == 2);
  for (T y : {rw::maximum(nan, T(1)), rw::maximum(T(1), nan), rw::minimum(nan, T(1)), rw::minimum(T(1), nan),
              rw::clamp(nan, T(0), T(1))}) {
    CHECK(std::isnan(y));
  }
  CHECK(rw::clamp(T(5), T(0), T(1)) == 1);
  CHECK(rw::clamp(T(-5), T(0), T(1)) == 0);
  CHECK(rw::where(true, T(1), T(2)) == 1);
  CHECK(rw::where(false, T(1), T(2)) == 2);
  CHECK(rw::sign(T(-3)) == -1);
  CHECK(rw::sign(T(0)) == 0);
  CHECK(rw::sign(T(3)) == 1);
  CHECK(rw::round(T(2.5)) == 2);
}

TEST_CASE_TEMPLATE("pow has C's values at every pair of special numbers", T, float, double) {
  const T inf = std::numeric_limits<T>::infinity(), big = std::numeric_limits<T>::max();
  const std::vector<T> special = {0,
                                  T(-0.0),
                                  1,
                                  -1,
                                  2,
                                  -2,
                                  3,
                                  -3,
                                  T(0.5),
                                  T(-0.5),
                                  T(2.5),
                                  T(-2.5),
                                  1024,
                                  -1023,
                                  inf,
                                  -inf,
                                  std::numeric_limits<T>::quiet_NaN(),
                                  big,
                                  -big,
                                  std::numeric_limits<T>::denorm_min(),
                                  T(0.99999),
                                  T(1.00001)};
  for (T x : special) {
    for (T y : special) {
      const T got = rw::pow(x, y), want = std::pow(x, y);
      CAPTURE(x);
      CAPTURE(y);
      CHECK(ulps(got, want) <= 1);
      if (!std::isnan(want)) CHECK(std::signbit(got) == std::signbit(want));
    }
  }
}

TEST_CASE_TEMPLATE("pow is within 1.5 units in the last place", T, float, double) {
  std::mt19937_64 bits(2);
  double worst = 0;
  for (int i = 0; i < 100'000; ++i) {
    const T x = std::bit_cast<T>(static_cast<rw::detail::Bits<T>>(bits() >> (std::is_same_v<T, float> ? 33 : 1)));
    const double size = std::abs(std::log(static_cast<double>(x)));
    const T y = static_cast<T>((static_cast<double>(bits()) * 0x1p-63 - 1) * 750 / size);
    if (std::isnan(x) || std::isinf(x)) continue;
    worst = std::max(worst, ulps(rw::pow(x, y), std::pow(static_cast<long double>(x), static_cast<long double>(y))));
  }
  CHECK(worst <= 1.5);
}
