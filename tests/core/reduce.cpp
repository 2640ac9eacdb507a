#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/core/threads.h>

#include "nest_reference.h"

using rw::Array;
using rw::ConstView;
using rw::Index;
using rw::Rng;
using rw::Shape;
using test::Strided;

namespace {

template <class T>
void check_random(std::uint64_t seed) {
  CAPTURE(seed);
  Rng rng(seed);
  const Shape from = test::some_shape(rng), to = test::some_part(rng, from);
  CAPTURE(from.str());
  CAPTURE(to.str());
  Strided<T> x(from, test::some_gap(rng)), y(to, test::some_gap(rng));
  x.fill(rng);
  std::vector<double> sums(static_cast<std::size_t>(to.size())), magnitudes(sums);
  for (Index i = 0; i < from.size(); ++i) {
    const auto at = static_cast<std::size_t>(test::stretched_index(to, from, i));
    sums[at] += static_cast<double>(x[i]);
    magnitudes[at] += std::abs(static_cast<double>(x[i]));
  }
  rw::sum_to(x.view(), y.view());
  const double eps = std::is_same_v<T, float> ? 1.2e-7 : 2.3e-16;
  for (Index i = 0; i < to.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    CAPTURE(i);
    const double terms = static_cast<double>(from.size()) / static_cast<double>(to.size());
    REQUIRE(std::abs(static_cast<double>(y[i]) - sums[at]) <= eps * terms * magnitudes[at]);
  }
  REQUIRE(y.guards_stand());
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace

TEST_CASE("sum_to agrees with a sum over positions") {
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    check_random<float>(seed);
    check_random<double>(seed);
  }
}

TEST_CASE("sum_to of nothing is zero, and to the same shape a copy") {
  Array y = rw::full(Shape{1, 3}, 7);
  rw::sum_to(Array(Shape{0, 3}), y.view());
  CHECK(y == Array(Shape{1, 3}));
  const Array x({1.0f, 2.0f, 3.0f}, Shape{1, 3});
  rw::sum_to(x, y.view());
  CHECK(y == x);
  Array none(Shape{0});
  CHECK_NOTHROW(rw::sum_to(Array(Shape{4, 0}), none.view()));
}

TEST_CASE("sum_to refuses a shape that does not stretch") {
  Array y(Shape{3}), larger(Shape{2, 3});
  CHECK_THROWS_WITH_AS(rw::sum_to(Array(Shape{4}), y.view()),
                       "cannot sum (4) to (3): the second must broadcast to the first", rw::Error);
  CHECK_THROWS_AS(rw::sum_to(Array(Shape{3}), larger.view()), rw::Error);
}

TEST_CASE("the bits of a sum depend on the shapes, not on how the rows lie or on threads") {
  const int before = rw::threads();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const Shape from = seed % 20 == 0   ? Shape{500, 13, 40}
                       : seed % 20 == 1 ? Shape{700, 3, 2}
                                        : test::some_shape(rng),
                to = test::some_part(rng, from);
    CAPTURE(from.str());
    CAPTURE(to.str());
    Strided<float> packed(from, 0), apart(from, 1 + rng.below(4));
    packed.fill(rng);
    for (Index i = 0; i < from.size(); ++i) apart[i] = packed[i];
    Array a(to), b(to), c(to);
    rw::set_threads(1);
    rw::sum_to(packed.view(), a.view());
    rw::sum_to(apart.view(), b.view());
    rw::set_threads(3);
    rw::sum_to(apart.view(), c.view());
    CHECK(same_bits(a.to_vector<float>(), b.to_vector<float>()));
    CHECK(same_bits(a.to_vector<float>(), c.to_vector<float>()));
  }
  rw::set_threads(before);
}

TEST_CASE("long sums stay accurate") {
  // In a block of contiguous numbers a running sum adds 32; runs then meet in pairs three times, and the sums four
  // times. Blocks add in double.
  const double bound = (32 + 3 + 4) * 0x1p-24;
  const Index n = 1 << 22;
  const Array x = rw::full(Shape{n}, 0.1);
  Array y(Shape{});
  rw::sum_to(x, y.view());
  CHECK(y.item() == doctest::Approx(static_cast<double>(n) * static_cast<double>(0.1f)).epsilon(bound));
  CHECK(rw::sum(x.span<float>().data(), n) ==
        doctest::Approx(static_cast<double>(n) * static_cast<double>(0.1f)).epsilon(bound));
  CHECK(rw::sum<double>(nullptr, 0) == 0);
}

TEST_CASE("long sums over leading axes, and over leading and last ones, stay accurate") {
  struct Case {
    Shape from, to;
    double additions;  // of a tree: runs of 32, and then as many as pairs meet
  };
  const Case cases[] = {{{1 << 21, 2}, {2}, 32 + 9 + 7},      {{300000, 3}, {1, 3}, 32 + 8 + 6},
                        {{20000, 130}, {130}, 32 + 10},       {{2, 9000, 300}, {2, 1, 300}, 32 + 9},
                        {{9000, 3, 50}, {3, 1}, 39 + 32 + 9}, {{3000, 2, 500, 2}, {2, 1, 2}, 2 * (32 + 9 + 7)}};
  for (const Case& c : cases) {
    CAPTURE(c.from.str());
    const Array x = rw::full(c.from, 0.1);
    Array y(c.to);
    rw::sum_to(x, y.view());
    const double expected = static_cast<double>(0.1f) * static_cast<double>(c.from.size() / c.to.size());
    for (const float e : y.span<float>())
      CHECK(static_cast<double>(e) == doctest::Approx(expected).epsilon(c.additions * 0x1p-24));
  }
}

TEST_CASE("ones count, as far as f32 can") {
  const Index n = (1 << 24) + (1 << 20);
  Array ones(Shape{n, 2});
  ones.fill(1);
  Array y(Shape{2});
  rw::sum_to(ones, y.view());
  CHECK(y.at({0}) == static_cast<double>(n));
  CHECK(y.at({1}) == static_cast<double>(n));
}

TEST_CASE("add_into adds once, also to rows that are apart") {
  Strided<float> x(Shape{4, 3}, 2), y(Shape{4, 3}, 5);
  Rng rng(9);
  x.fill(rng);
  y.fill(rng);
  std::vector<float> expected;
  for (Index i = 0; i < 12; ++i) expected.push_back(y[i] + x[i]);
  rw::add_into(x.view(), y.view());
  for (Index i = 0; i < 12; ++i) CHECK(y[i] == expected[static_cast<std::size_t>(i)]);
  CHECK(y.guards_stand());
}

TEST_CASE("add_into converts what it adds") {
  Array y({0.5f, 1.5f}, Shape{2});
  rw::add_into(Array({0.1, 1e-9}, Shape{2}), y.view());
  CHECK(y.at({0}) == static_cast<double>(0.5f + 0.1f));
  CHECK(y.at({1}) == 1.5);
  Array z({0.5, 1.5}, Shape{2});
  rw::add_into(y, z.view());
  CHECK(z.at({1}) == 3);
}
