#include <algorithm>
#include <iterator>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/tools/export/expressions.h>
#include <rewind/tools/export/math_text.h>
#include <rewind/tools/export/math_text_ops.h>

namespace rw::detail {
namespace {

// The formulas are those of core/math.h, with constants for processors that have no fused multiply-add: the high part
// of log 2 has so few digits that its products with k are exact. Errors are in units in the last place, largest ones
// seen, with and without fused multiply-add; tests/tools/export/functions.cpp measures them.
constexpr MathFunction basic_functions[] = {
    {"maximum",
     R"(
/// The larger and the smaller; nan when either is.
inline Real maximum(Real a, Real b) { return a > b || a != a ? a : b; }
)",
     {}},
    {"minimum",
     R"(
inline Real minimum(Real a, Real b) { return a < b || a != a ? a : b; }
)",
     {}},
    {"times0",
     R"(
/// a b, and 0 where either is 0.
inline Real times0(Real a, Real b) { return a == 0 || b == 0 ? Real(0) : a * b; }
)",
     {}},
    {"bits", R"(
using Bits = std::uint32_t;
constexpr float smallest_normal = 0x1p-126f;
inline Bits bits(float x) {
  Bits b;
  std::memcpy(&b, &x, sizeof b);
  return b;
}
inline float from_bits(Bits b) {
  float x;
  std::memcpy(&x, &b, sizeof x);
  return x;
}
)",
     R"(
using Bits = std::uint64_t;
constexpr double smallest_normal = 0x1p-1022;
inline Bits bits(double x) {
  Bits b;
  std::memcpy(&b, &x, sizeof b);
  return b;
}
inline double from_bits(Bits b) {
  double x;
  std::memcpy(&x, &b, sizeof x);
  return x;
}
)"},
    {"size_up_to", R"(
/// |x|, at most `most`. In whole numbers, whose comparison cannot trap: so g++ makes vector instructions of it.
inline float size_up_to(float most, float x) {
  const auto size = std::int32_t(bits(x) & 0x7fffffffu), limit = std::int32_t(bits(most));
  return from_bits(Bits(size < limit ? size : limit));
}
/// y, or nan where x is.
inline float or_nan(float y, float x) {
  return from_bits(bits(y) | Bits(std::int32_t(0x7f800000u - (bits(x) & 0x7fffffffu)) >> 31));
}
)",
     R"(
/// |x|, at most `most`. In whole numbers, whose comparison cannot trap: so g++ makes vector instructions of it.
inline double size_up_to(double most, double x) {
  const auto size = std::int64_t(bits(x) & 0x7fffffffffffffffu), limit = std::int64_t(bits(most));
  return from_bits(Bits(size < limit ? size : limit));
}
/// y, or nan where x is.
inline double or_nan(double y, double x) {
  return from_bits(bits(y) | Bits(std::int64_t(0x7ff0000000000000u - (bits(x) & 0x7fffffffffffffffu)) >> 63));
}
)"},
    {"Power", R"(
/// e^x = 2^k (1 + p), |x| <= 105.
struct Power {
  Bits k;
  float p;
};
inline Power power(float x) {
  const float shifted = x * 0x1.715476p+0f + 0x1.8p23f, n = shifted - 0x1.8p23f;
  const float r = (x - n * 0x1.63p-1f) + n * 0x1.bd0106p-13f;
  float q = 0x1.6da0cep-10f;
  q = q * r + 0x1.122d8ep-7f;
  q = q * r + 0x1.55547ep-5f;
  q = q * r + 0x1.5554a8p-3f;
  q = q * r + 0.5f;
  return {bits(shifted) - bits(0x1.8p23f), r + r * r * q};
}
/// 2^k, of a normal number.
inline float two_to(Bits k) { return from_bits((k + 127u) << 23); }
)",
     R"(
/// e^x = 2^k (1 + p), |x| <= 750.
struct Power {
  Bits k;
  double p;
};
inline Power power(double x) {
  const double shifted = x * 0x1.71547652b82fep+0 + 0x1.8p52, n = shifted - 0x1.8p52;
  const double r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  double q = 0x1.1f989c6d69378p-29;
  q = q * r + 0x1.af63bbdbcba94p-26;
  q = q * r + 0x1.27e4c38de8585p-22;
  q = q * r + 0x1.71ddf5ac0d47cp-19;
  q = q * r + 0x1.a01a01b1ad3e3p-16;
  q = q * r + 0x1.a01a01b0db6cbp-13;
  q = q * r + 0x1.6c16c16c1413ep-10;
  q = q * r + 0x1.111111110f485p-7;
  q = q * r + 0x1.555555555555bp-5;
  q = q * r + 0x1.5555555555559p-3;
  q = q * r + 0.5;
  return {bits(shifted) - bits(0x1.8p52), r + r * r * q};
}
/// 2^k, of a normal number.
inline double two_to(Bits k) { return from_bits((k + 1023u) << 52); }
)"},
    {"within",
     R"(
/// x, or the bound beyond it; nan stays.
inline Real within(Real x, Real lo, Real hi) {
  x = x > hi ? hi : x;
  return x < lo ? lo : x;
}
)",
     {}},
    {"exp", R"(
/// e^x, within 1.2 ULP.
inline float exp(float x) {
  const Power e = power(std::copysign(size_up_to(104, x), x));
  const Bits biased = e.k + 254u, half = biased >> 1;
  return or_nan((1 + e.p) * from_bits(half << 23) * from_bits((biased - half) << 23), x);
}
)",
     R"(
/// e^x, within 1.2 ULP.
inline double exp(double x) {
  const Power e = power(std::copysign(size_up_to(746, x), x));
  const Bits biased = e.k + 2046u, half = biased >> 1;
  return or_nan((1 + e.p) * from_bits(half << 52) * from_bits((biased - half) << 52), x);
}
)"},
    {"expm1_near",
     R"(
/// e^x - 1, |x| < 40.
inline Real expm1_near(Real x) {
  const Power e = power(x);
  const Real scale = two_to(e.k);
  return scale * e.p + (scale - 1);
}
)",
     {}},
    {"expm1",
     R"(
/// e^x - 1, within 2 ULP.
inline Real expm1(Real x) { return x > 39 ? exp(x) : expm1_near(within(x, -39, 39)); }
)",
     {}},
    {"tanh",
     R"(
/// Within 3 ULP.
inline Real tanh(Real x) {
  const Real e = expm1_near(2 * size_up_to(Real(19.5), x));
  return or_nan(std::copysign(e / (e + 2), x), x);
}
)",
     {}},
    {"sigmoid", R"(
/// 1 / (1 + e^-x), within 3 ULP for x > -87; below, within 1e-37.
inline float sigmoid(float x) {
  const Power p = power(-size_up_to(87, x));
  const float scale = two_to(p.k), e = scale * p.p + scale;
  const auto negative = Bits(std::int32_t(bits(x)) >> 31);
  return or_nan(from_bits(bits(1.0f) ^ ((bits(1.0f) ^ bits(e)) & negative)) / (1 + e), x);
}
)",
     R"(
/// 1 / (1 + e^-x), within 3 ULP for x > -708; below, within 1e-307.
inline double sigmoid(double x) {
  const Power p = power(-size_up_to(708, x));
  const double scale = two_to(p.k), e = scale * p.p + scale;
  const auto negative = Bits(std::int64_t(bits(x)) >> 63);
  return or_nan(from_bits(bits(1.0) ^ ((bits(1.0) ^ bits(e)) & negative)) / (1 + e), x);
}
)"},
    {"log_of", R"(
/// x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), of a normal x > 0.
struct Split {
  float k, f;
};
inline Split split(float x) {
  const Bits shifted = bits(x) + (bits(1.0f) - bits(0x1.6a09e6p-1f));
  const float k = from_bits(bits(0x1.8p23f) + (shifted >> 23)) - (0x1.8p23f + 127);
  return {k, from_bits((shifted & 0x7fffffu) + bits(0x1.6a09e6p-1f)) - 1};
}
/// k log 2 + log(1 + f) + c, where c only adds digits.
inline float log_of(Split x, float c) {
  const float f = x.f;
  float p = -0x1.41f8a2p-4f;
  p = p * f + 0x1.08132cp-3f;
  p = p * f - 0x1.0cfb32p-3f;
  p = p * f + 0x1.226688p-3f;
  p = p * f - 0x1.54754cp-3f;
  p = p * f + 0x1.99a5d8p-3f;
  p = p * f - 0x1.00022cp-2f;
  p = p * f + 0x1.55554ap-2f;
  return x.k * 0x1.62e3p-1f + (f + (f * f * (f * p - 0.5f) + (x.k * 0x1.2fefa2p-17f + c)));
}
)",
     R"(
/// x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), of a normal x > 0.
struct Split {
  double k, f;
};
inline Split split(double x) {
  const Bits shifted = bits(x) + (bits(1.0) - bits(0x1.6a09e667f3bcdp-1));
  const double k = from_bits(bits(0x1.8p52) + (shifted >> 52)) - (0x1.8p52 + 1023);
  return {k, from_bits((shifted & 0xfffffffffffffu) + bits(0x1.6a09e667f3bcdp-1)) - 1};
}
/// k log 2 + log(1 + f) + c, where c only adds digits.
inline double log_of(Split x, double c) {
  const double f = x.f, s = f / (2 + f), z = s * s, half_square = 0.5 * f * f;
  double p = 0x1.2f572135adcc4p-3;
  p = p * z + 0x1.3999f75be9a2ep-3;
  p = p * z + 0x1.7466884644994p-3;
  p = p * z + 0x1.c71c50b6a2fa5p-3;
  p = p * z + 0x1.24924943793a6p-2;
  p = p * z + 0x1.999999997e3e5p-2;
  p = p * z + 0x1.5555555555597p-1;
  const double rest = s * (z * p + half_square) + (x.k * 0x1.a39ef35793c76p-33 + c) - half_square;
  return x.k * 0x1.62e42feep-1 + (f + rest);
}
)"},
    {"log",
     R"(
/// The natural logarithm, within 1.5 ULP: -infinity at 0, nan below.
inline Real log(Real x) {
  const bool subnormal = x < smallest_normal;
  Split s = split(subnormal ? x * Real(0x1p54) : x);
  s.k = subnormal ? s.k - 54 : s.k;
  const Real y = log_of(s, 0), beyond = x == 0 ? -Real(INFINITY) : (x < 0 ? Real(NAN) : x);
  return x > 0 && x < Real(INFINITY) ? y : beyond;
}
)",
     {}},
    {"log1p",
     R"(
/// log(1 + x), within 2.5 ULP.
inline Real log1p(Real x) {
  const Real u = 1 + x, lost = x < 1 ? x - (u - 1) : 1 - (u - x);
  const Real y = log_of(split(u), lost / u);
  const Real beyond = x == -1 ? -Real(INFINITY) : (x < -1 ? Real(NAN) : x);
  return x > -1 && x < Real(INFINITY) ? y : beyond;
}
)",
     {}},
    {"softplus",
     R"(
/// log(1 + e^x).
inline Real softplus(Real x) { return (x < 0 ? Real(0) : x) + log1p(exp(-std::fabs(x))); }
)",
     {}},
    {"normal_pdf",
     R"(
/// The density of the standard normal distribution.
inline Real normal_pdf(Real x) { return Real(0.39894228040143268) * std::exp(Real(-0.5) * x * x); }
)",
     {}},
    {"normal_cdf",
     R"(
/// The probability that a standard normal number is below x.
inline Real normal_cdf(Real x) { return Real(0.5) * std::erfc(Real(-0.70710678118654752) * x); }
)",
     {}},
    {"mod",
     R"(
/// The rest of a / b, with the sign of b.
inline Real mod(Real a, Real b) {
  const Real all = std::fabs(a) < Real(INFINITY) ? a : a - a;
  const Real rest = std::fabs(b) == Real(INFINITY) ? all : std::fmod(a, b);
  return (rest < 0) == (b < 0) || rest == 0 ? rest : rest + b;
}
)",
     {}},
    {"power_of_two", R"(
/// The largest power of two that is not above |x|, of normal numbers.
inline float power_of_two(float x) {
  const float power = from_bits(bits(x) & 0x7f800000u);
  return x == x ? within(power, 0x1p-126f, 0x1p126f) : x;
}
)",
     R"(
/// The largest power of two that is not above |x|, of normal numbers.
inline double power_of_two(double x) {
  const double power = from_bits(bits(x) & 0x7ff0000000000000u);
  return x == x ? within(power, 0x1p-1022, 0x1p1022) : x;
}
)"},
    {"huber",
     R"(
/// d^2 / 2 up to delta, straight beyond.
inline Real huber(Real d, Real delta) {
  const Real c = within(d, -delta, delta);
  return c * (d - Real(0.5) * c);
}
)",
     {}},
    {"add_columns",
     R"(
/// y [C] += x [K] w [K, C], whose rows are N numbers apart. Few columns: their sums stay in registers.
template <std::size_t C, std::size_t K, std::size_t N>
inline void add_columns(const Real* x, const Real* w, Real* y) {
  Real sum[C];
  for (std::size_t j = 0; j < C; ++j) sum[j] = y[j];
  for (std::size_t k = 0; k + 1 < K; k += 2) {
    const Real* r = w + k * N;
    for (std::size_t j = 0; j < C; ++j) sum[j] += x[k] * r[j] + x[k + 1] * r[N + j];
  }
  if constexpr (K % 2 == 1)
    for (std::size_t j = 0; j < C; ++j) sum[j] += x[K - 1] * w[(K - 1) * N + j];
  for (std::size_t j = 0; j < C; ++j) y[j] = sum[j];
}
)",
     {}},
    {"add_product",
     R"(
/// y [N] += x [K] w [K, N].
template <std::size_t K, std::size_t N>
inline void add_product(const Real* x, const Real* w, Real* y) {
  constexpr std::size_t C = 96 / sizeof(Real), whole = N / C * C;
  for (std::size_t j = 0; j < whole; j += C) add_columns<C, K, N>(x, w + j, y + j);
  if constexpr (N > whole) add_columns<N - whole, K, N>(x, w + whole, y + whole);
}
)",
     {}},
    {"shared_product",
     R"(
/// The same as a function that all places share which call it.
template <std::size_t K, std::size_t N>
[[gnu::noinline]] void shared_product(const Real* x, const Real* w, Real* y) {
  add_product<K, N>(x, w, y);
}
)",
     {}},
    {"dot",
     R"(
/// The sum of a[i] b[i], i < N.
template <std::size_t N>
inline Real dot(const Real* a, const Real* b) {
  constexpr std::size_t eights = N / 8 * 8;
  Real sum = 0;
  if constexpr (eights > 0) {
    Real part[8] = {};
    for (std::size_t i = 0; i < eights; i += 8)
      for (std::size_t j = 0; j < 8; ++j) part[j] += a[i + j] * b[i + j];
    sum = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
  }
  if constexpr (N > eights)
    for (std::size_t i = eights; i < N; ++i) sum += a[i] * b[i];
  return sum;
}
)",
     {}},
    {"add_dots",
     R"(
/// y [N] += x [K] w [N, K] transposed.
template <std::size_t K, std::size_t N>
inline void add_dots(const Real* x, const Real* w, Real* y) {
  for (std::size_t j = 0; j < N; ++j) y[j] += dot<K>(x, w + j * K);
}
)",
     {}},
    {"add_product_int8",
     R"(
/// y [N] += x [K] w [K, N], where row k of w is to be multiplied by scale[k].
template <std::size_t K, std::size_t N>
inline void add_product_int8(const Real* x, const std::int8_t* w, const Real* scale, Real* y) {
  constexpr std::size_t fours = K / 4 * 4;
  for (std::size_t k = 0; k < fours; k += 4) {
    const std::int8_t* r = w + k * N;
    const Real a = x[k] * scale[k], b = x[k + 1] * scale[k + 1], c = x[k + 2] * scale[k + 2], d = x[k + 3] * scale[k + 3];
    for (std::size_t j = 0; j < N; ++j)
      y[j] += (a * Real(r[j]) + b * Real(r[N + j])) + (c * Real(r[2 * N + j]) + d * Real(r[3 * N + j]));
  }
  if constexpr (K > fours)
    for (std::size_t k = fours; k < K; ++k)
      for (std::size_t j = 0; j < N; ++j) y[j] += x[k] * scale[k] * Real(w[k * N + j]);
}
)",
     {}},
    {"add_dots_int8",
     R"(
/// y [N] += x [K] w [N, K] transposed, where row j of w is to be multiplied by scale[j].
template <std::size_t K, std::size_t N>
inline void add_dots_int8(const Real* x, const std::int8_t* w, const Real* scale, Real* y) {
  for (std::size_t j = 0; j < N; ++j) {
    Real sum = 0;
    for (std::size_t k = 0; k < K; ++k) sum += x[k] * Real(w[j * K + k]);
    y[j] += scale[j] * sum;
  }
}
)",
     {}},
    {"sum",
     R"(
/// The sum of x[i], i < N: sixteen sums side by side, of at most 32 numbers each, and these in pairs.
template <std::size_t N>
inline Real sum(const Real* x) {
  if constexpr (N > 512) {
    constexpr std::size_t half = (N / 2 + 511) / 512 * 512;
    return sum<half>(x) + sum<N - half>(x + half);
  } else {
    constexpr std::size_t whole = N / 16 * 16;
    Real part[16] = {};
    for (std::size_t i = 0; i < whole; i += 16)
      for (std::size_t j = 0; j < 16; ++j) part[j] += x[i + j];
    for (std::size_t i = whole; i < N; ++i) part[i - whole] += x[i];
    for (std::size_t width = 8; width > 0; width /= 2)
      for (std::size_t j = 0; j < width; ++j) part[j] += part[j + width];
    return part[0];
  }
}
)",
     {}},
    {"exp_row",
     R"(
/// y = exp(x - largest); returns the largest, and adds what the exponentials sum to.
template <std::size_t N>
inline Real exp_row(const Real* x, Real* y, Real& total) {
  Real most = x[0];
  for (std::size_t i = 1; i < N; ++i) most = maximum(most, x[i]);
  const Real shift = most - most == 0 ? most : Real(0);
  for (std::size_t i = 0; i < N; ++i) y[i] = exp(x[i] - shift);
  total = sum<N>(y);
  return shift;
}
)",
     {}},
    {"softmax",
     R"(
template <std::size_t N>
inline void softmax(const Real* x, Real* y) {
  Real total;
  exp_row<N>(x, y, total);
  const Real scale = 1 / total;
  for (std::size_t i = 0; i < N; ++i) y[i] *= scale;
}
)",
     {}},
    {"log_softmax",
     R"(
template <std::size_t N>
inline void log_softmax(const Real* x, Real* y) {
  Real total;
  const Real shift = exp_row<N>(x, y, total), off = log(total);
  for (std::size_t i = 0; i < N; ++i) y[i] = (x[i] - shift) - off;
}
)",
     {}},
    {"logsumexp",
     R"(
template <std::size_t N>
inline Real logsumexp(const Real* x) {
  Real e[N], total;
  const Real shift = exp_row<N>(x, e, total);
  return shift + log(total);
}
)",
     {}},
    {"exp_row_of",
     R"(
/// y = exp(x - largest) of n numbers; returns the largest, and adds what the exponentials sum to.
inline Real exp_row_of(const Real* x, std::ptrdiff_t n, Real* y, Real& total) {
  Real most = x[0];
  for (std::ptrdiff_t i = 1; i < n; ++i) most = maximum(most, x[i]);
  const Real shift = most - most == 0 ? most : Real(0);
  double all = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) all += double(y[i] = exp(x[i] - shift));
  total = Real(all);
  return shift;
}
)",
     {}},
    {"softmax_of",
     R"(
inline void softmax_of(const Real* x, std::ptrdiff_t n, Real* y) {
  Real total;
  exp_row_of(x, n, y, total);
  const Real scale = 1 / total;
  for (std::ptrdiff_t i = 0; i < n; ++i) y[i] *= scale;
}
)",
     {}},
    {"log_softmax_of",
     R"(
inline void log_softmax_of(const Real* x, std::ptrdiff_t n, Real* y) {
  Real total;
  const Real shift = exp_row_of(x, n, y, total), off = log(total);
  for (std::ptrdiff_t i = 0; i < n; ++i) y[i] = (x[i] - shift) - off;
}
)",
     {}},
};

bool names(std::string_view text, std::string_view word) {
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool begins = at == 0 || !is_name_character(text[at - 1]);
    const bool std_function = at >= 5 && text.substr(at - 5, 5) == "std::";
    if (begins && !std_function && (end == text.size() || !is_name_character(text[end]))) return true;
  }
  return false;
}

std::string_view text_of(const MathFunction& f, DType real) {
  return real == DType::f64 && !f.f64.empty() ? f.f64 : f.f32;
}

/// What stands outside of comments.
std::string without_comments(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    if (!line.starts_with("///")) out += line;
    text.remove_prefix(end);
  }
  return out;
}

}  // namespace

std::string math_functions(std::string_view used_by, DType real) {
  std::string needs(used_by);
  std::vector<std::string_view> chosen;
  std::vector<MathFunction> all(std::begin(basic_functions), std::end(basic_functions));
  all.insert(all.end(), op_functions().begin(), op_functions().end());
  for (std::size_t i = all.size(); i-- > 0;) {
    if (!names(needs, all[i].name)) continue;
    chosen.push_back(text_of(all[i], real));
    needs += without_comments(chosen.back());
  }
  std::string out;
  for (std::size_t i = chosen.size(); i-- > 0;) out += chosen[i].substr(i + 1 == chosen.size() ? 1 : 0);
  return out;
}

}  // namespace rw::detail
