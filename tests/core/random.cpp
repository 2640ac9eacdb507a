#include <array>
#include <cmath>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/random.h>

using rw::PhiloxCounter;
using rw::Rng;

// The three known answers for philox4x32-10 in the file kat_vectors of the authors' Random123.
static_assert(rw::philox({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(rw::philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
              PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(rw::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

TEST_CASE("philox at run time has the known answers too") {
  volatile std::uint32_t word = 0x243f6a88;
  CHECK(rw::philox({word, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream is a function of its seed and position") {
  Rng a(7), b(7), other(8);
  std::vector<std::uint64_t> drawn;
  for (int i = 0; i < 100; ++i) drawn.push_back(a.next());
  for (std::uint64_t bits : drawn) CHECK(b.next() == bits);
  CHECK(other.next() != drawn[0]);
  CHECK(a.state() == Rng::State{.seed = 7, .position = 100});

  Rng resumed(0);
  resumed.set_state({.seed = 7, .position = 40});
  CHECK(resumed.next() == drawn[40]);
  CHECK(Rng(Rng::State{.seed = 7, .position = 99}).next() == drawn[99]);
}

TEST_CASE("sequences are the same on every platform") {
  Rng rng(42);
  CHECK(rng.next() == 0x77f5493b9ceaf053u);
  CHECK(rng.uniform() == 0x1.4ee9b3f7f36c8p-2);
  CHECK(rng.normal() == 0x1.bb237dc38ea2fp-3);
  CHECK(rng.below(1000) == 541);
}

TEST_CASE("split makes streams that differ, without moving the first") {
  const Rng rng(3);
  std::set<std::uint64_t> first;
  for (std::uint64_t stream = 0; stream < 1000; ++stream) first.insert(rng.split(stream).next());
  first.insert(Rng(3).next());
  CHECK(first.size() == 1001);
  CHECK(rng.split(5).state() == Rng(3).split(5).state());
}

TEST_CASE("uniform numbers fill their interval evenly") {
  Rng rng(1);
  double sum = 0, least = 1, most = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double x = rng.uniform(-2, 6);
    sum += x;
    least = std::fmin(least, x);
    most = std::fmax(most, x);
  }
  CHECK(least >= -2);
  CHECK(least < -1.99);
  CHECK(most < 6);
  CHECK(most > 5.99);
  CHECK(std::abs(sum / 100'000 - 2) < 5 * 8 / std::sqrt(12 * 100'000.0));  // five standard errors
  CHECK(rng.uniform(3, 3) == 3);
  CHECK_THROWS_WITH_AS(rng.uniform(2, 1), doctest::Contains("lo <= hi"), rw::Error);
  CHECK_THROWS_AS(rng.uniform(0, INFINITY), rw::Error);
  CHECK_THROWS_AS(rng.uniform(NAN, 1), rw::Error);
}

TEST_CASE("normal numbers have mean 0, variance 1 and the kurtosis of the normal distribution") {
  Rng rng(2);
  constexpr int n = 200'000;
  double sum = 0, squares = 0, fourths = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(fourths / n - 3) < 5 * std::sqrt(96.0 / n));
}

TEST_CASE("below draws every number as often") {
  Rng rng(4);
  std::array<int, 7> count{};
  for (int i = 0; i < 70'000; ++i) ++count[static_cast<std::size_t>(rng.below(7))];
  for (int c : count) CHECK(std::abs(c - 10'000) < 500);
  CHECK(rng.below(1) == 0);
  const rw::Index large = (rw::Index{1} << 62) + 12345;
  for (int i = 0; i < 100; ++i) {
    const rw::Index x = rng.below(large);
    CHECK(x >= 0);
    CHECK(x < large);
  }
  CHECK_THROWS_WITH_AS(rng.below(0), doctest::Contains("positive"), rw::Error);
}

TEST_CASE("fill_uniform: a number depends on the key and its place, not on the length") {
  const rw::PhiloxKey key = rw::philox_key(9);
  const PhiloxCounter first = rw::philox_counter(0xffffffff, 5);
  std::vector<float> all(1000), part(10);
  rw::fill_uniform(key, first, 1000, all.data());
  rw::fill_uniform(key, first, 10, part.data());
  for (std::size_t i = 0; i < part.size(); ++i) CHECK(part[i] == all[i]);
  rw::fill_uniform(key, rw::philox_counter(0x100000000, 5), 10, part.data());  // the low word carries
  for (std::size_t i = 0; i < part.size(); ++i) CHECK(part[i] == all[i + 4]);
  double sum = 0;
  for (float x : all) {
    CHECK(x >= 0);
    CHECK(x < 1);
    sum += x;
  }
  CHECK(std::abs(sum / 1000 - 0.5) < 5 / std::sqrt(12 * 1000.0));
  CHECK(rw::uniform(1, 2) == rw::uniform(rw::philox_key(1), rw::philox_counter(2)));
}
