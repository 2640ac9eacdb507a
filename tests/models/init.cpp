#include <cmath>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/init.h>

using namespace rw;

namespace {

double mean_square(const Array& a) {
  double sum = 0;
  for (const float x : a.span<float>()) sum += static_cast<double>(x) * x;
  return sum / static_cast<double>(a.size());
}

double largest(const Array& a) {
  double most = 0;
  for (const float x : a.span<float>()) most = std::max(most, std::abs(static_cast<double>(x)));
  return most;
}

// Whether the rows (or else the columns) of `a` are orthonormal up to `gain`.
void check_orthonormal(const Array& a, bool rows, double gain = 1) {
  const Index n = rows ? a.shape()[0] : a.shape()[1], m = rows ? a.shape()[1] : a.shape()[0];
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j <= i; ++j) {
      double dot = 0;
      for (Index k = 0; k < m; ++k) dot += rows ? a.at({i, k}) * a.at({j, k}) : a.at({k, i}) * a.at({k, j});
      CHECK(std::abs(dot - (i == j ? gain * gain : 0)) < 1e-6 * gain * gain);
    }
}

}  // namespace

TEST_CASE("spreads are what the papers say") {
  Rng rng(1);
  const Array g = glorot(rng, 100, 200);
  CHECK(g.shape() == Shape{100, 200});
  CHECK(largest(g) <= std::sqrt(6.0 / 300));
  CHECK(mean_square(g) == doctest::Approx(2.0 / 300).epsilon(0.05));
  CHECK(mean_square(he(rng, 100, 200)) == doctest::Approx(2.0 / 100).epsilon(0.05));
  const Array l = lecun(rng, 100, 200);
  CHECK(largest(l) <= 0.1);
  CHECK(mean_square(l) == doctest::Approx(0.01 / 3).epsilon(0.05));
  const Array u = uniform(rng, {100, 100}, -0.08, 0.08);
  CHECK(largest(u) <= 0.08f);
  CHECK(mean_square(u) == doctest::Approx(0.08 * 0.08 / 3).epsilon(0.05));
  CHECK(mean_square(normal(rng, {100, 100}, 3)) == doctest::Approx(9).epsilon(0.05));
}

TEST_CASE("orthogonal matrices, square, wide and tall") {
  Rng rng(2);
  check_orthonormal(orthogonal(rng, 20), true);
  check_orthonormal(orthogonal(rng, 5, 12), true);
  check_orthonormal(orthogonal(rng, 12, 5), false);
  check_orthonormal(orthogonal(rng, 6, 6, 3), true, 3);
  check_orthonormal(orthogonal(rng, 70, 90), true);  // more than one panel of rows
}

TEST_CASE("identity and constant") {
  CHECK(identity(2, 3, 0.5) == Array({0.5f, 0.f, 0.f, 0.f, 0.5f, 0.f}, {2, 3}));
  CHECK(constant({2}, 7) == Array({7.f, 7.f}, {2}));
}

TEST_CASE("the same seed gives the same numbers") {
  Rng a(5), b(5), c(6);
  const Array x = orthogonal(a, 4);
  CHECK(x == orthogonal(b, 4));
  CHECK_FALSE(x == orthogonal(c, 4));
}

TEST_CASE("an Init makes each block by itself") {
  Rng rng(1);
  const Array w = Init::orthogonal()(rng, 4, 4, 3);
  REQUIRE(w.shape() == Shape{4, 12});
  for (Index block = 0; block < 3; ++block) {
    Array one(Shape{4, 4});
    for (Index i = 0; i < 4; ++i)
      for (Index k = 0; k < 4; ++k)
        one.span<float>()[static_cast<std::size_t>(i * 4 + k)] = static_cast<float>(w.at({i, block * 4 + k}));
    check_orthonormal(one, true);
  }
  CHECK(Init::identity(2)(rng, 2, 2, 2) == Array({2.f, 0.f, 2.f, 0.f, 0.f, 2.f, 0.f, 2.f}, {2, 4}));
  CHECK(largest(Init::uniform(0.1)(rng, 30, 30, 4)) <= 0.1f);
  CHECK(Init::named("constant", 3)(rng, 1, 2) == Array({3.f, 3.f}, {1, 2}));
  CHECK(Init::named("glorot").kind == Init::Kind::glorot);
  CHECK_THROWS_WITH_AS(
      Init::named("xavier"),
      "no initialiser 'xavier'; there are: glorot, he, lecun, orthogonal, identity, uniform, normal, constant", Error);
}
