#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/random.h>
#include <rewind/ops/ops.h>

#include "exported.h"

namespace rw {
namespace {

using namespace rw::test;

struct Function {
  const char* name;
  Tensor (*op)(Operand);
  long double (*exact)(long double);
  double ulp;     // what the header's comment says
  double lo, hi;  // where that holds
  double lo32 = lo, hi32 = hi;
};

long double sigmoid_exact(long double x) { return 1 / (1 + std::exp(-x)); }
long double softplus_exact(long double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

const Function functions[] = {
    {"exp", exp, [](long double x) { return std::exp(x); }, 1.2, -700, 709, -87, 88},
    {"expm1", expm1, [](long double x) { return std::expm1(x); }, 2, -50, 700, -50, 88},
    {"log", log, [](long double x) { return std::log(x); }, 1.5, 1e-300, 1e300, 1e-37, 1e37},
    {"log1p", log1p, [](long double x) { return std::log1p(x); }, 2.5, -0.999, 1e9},
    {"tanh", tanh, [](long double x) { return std::tanh(x); }, 3, -20, 20},
    {"sigmoid", sigmoid, sigmoid_exact, 3, -708, 100, -87, 100},
    {"softplus", softplus, softplus_exact, 4, -50, 50},
};

/// Numbers of all sizes in a range, of both signs where it has both.
Array numbers(double lo, double hi, Index n, DType real) {
  Rng rng(3);
  Array x(Shape{n}, DType::f64);
  for (double& v : x.span<double>()) {
    const double most = rng.uniform(0, 1) * hi, least = std::exp(rng.uniform(std::log(1e-9), std::log(hi)));
    v = rng.uniform(0, 1) < 0.5 ? most : least;
    if (lo < 0 && rng.uniform(0, 1) < 0.5) v *= lo / hi;
    if (lo > 0) v = std::exp(rng.uniform(std::log(lo), std::log(hi)));
  }
  return x.to(real);
}

double ulps(double y, long double exact, DType real) {
  const double size = static_cast<double>(std::fabs(exact));
  const double unit = real == DType::f32 ? std::nextafter(static_cast<float>(size), INFINITY) - static_cast<float>(size)
                                         : std::nextafter(size, INFINITY) - size;
  return static_cast<double>(std::fabs(static_cast<long double>(y) - exact)) / unit;
}

constexpr Index width = 64;

RecordedStep step_of(const Function& f, DType real) {
  return record_step(
      {{width}}, real, [](Tape& t) { return t.constant(0, {1}); }, [&](Tensor x, Tensor&) { return f.op(x); });
}

void check(const std::string& flags, Index count) {
  Exports exports;
  std::vector<std::pair<const Function*, DType>> all;
  for (const Function& f : functions)
    for (const DType real : {DType::f32, DType::f64}) {
      exports.add(step_of(f, real));
      all.emplace_back(&f, real);
    }
  exports.load(flags);
  for (std::size_t n = 0; n < all.size(); ++n) {
    const Function* f = all[n].first;
    const DType real = all[n].second;
    const bool narrow = real == DType::f32;
    const Array x = numbers(narrow ? f->lo32 : f->lo, narrow ? f->hi32 : f->hi, count, real);
    const std::vector<double> at = x.to_vector<double>(), y = exports.run(n, x).to_vector<double>();
    double worst = 0;
    for (std::size_t i = 0; i < y.size(); ++i)
      worst = std::max(worst, ulps(y[i], f->exact(static_cast<long double>(at[i])), real));
    CAPTURE(f->name);
    CAPTURE(narrow);
    CAPTURE(worst);
    CHECK(worst <= f->ulp);
    CHECK(worst > 0.3);  // and it was measured
  }
}

TEST_CASE("functions in a header are as exact as their comments say, with and without fused multiply-add") {
  const Index count = rw::test::full() ? 64 * 100000 : 64 * 2000;
  check("-O2 -ffp-contract=off ", count);
  check("-O2 -march=native -ffp-contract=fast ", count);
}

TEST_CASE("special values in a header are the library's") {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> special{0.0, -0.0, 1, -1, infinity, -infinity, nan, 1e-320, 1e-40, 1000, -1000, 89, -104};
  Array x(Shape{width}, DType::f64);
  for (std::size_t i = 0; i < special.size(); ++i) x.span<double>()[i] = special[i];
  Exports exports;
  for (const Function& f : functions)
    for (const DType real : {DType::f32, DType::f64}) exports.add(step_of(f, real));
  exports.load();
  std::size_t n = 0;
  for (const Function& f : functions)
    for (const DType real : {DType::f32, DType::f64}) {
      Tape tape(real);
      const Array expected = f.op(tape.constant(x)).array(), y = exports.run(n++, x);
      const std::vector<double> wanted = expected.to_vector<double>(), found = y.to_vector<double>();
      CAPTURE(f.name);
      for (std::size_t i = 0; i < special.size(); ++i) {
        const double e = wanted[i], v = found[i];
        CAPTURE(special[i]);
        CHECK(std::isnan(v) == std::isnan(e));
        if (std::isnan(e)) continue;
        CHECK(std::isinf(v) == std::isinf(e));
        if (!std::isinf(e)) CHECK(std::abs(v - e) <= 1e-6 * std::abs(e) + 2e-37);
      }
    }
}

}  // namespace
}  // namespace rw
