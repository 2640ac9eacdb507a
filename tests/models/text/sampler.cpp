#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/text/sampler.h>

using namespace rw;

namespace {

std::vector<double> frequencies(const std::vector<float>& logits, const SamplerOptions& options) {
  Rng rng(3);
  std::vector<double> out(logits.size());
  const int draws = 40'000;
  for (int i = 0; i < draws; ++i) out[static_cast<std::size_t>(choose(logits, options, rng))] += 1.0 / draws;
  return out;
}

}  // namespace

TEST_CASE("symbols come as often as their probability says") {
  const std::vector<float> logits{std::log(1.f), std::log(2.f), std::log(5.f), std::log(2.f)};
  const auto plain = frequencies(logits, {});
  CHECK(plain[0] == doctest::Approx(0.1).epsilon(0.05));
  CHECK(plain[1] == doctest::Approx(0.2).epsilon(0.05));
  CHECK(plain[2] == doctest::Approx(0.5).epsilon(0.05));
  const auto cold = frequencies(logits, {.temperature = 0.5});  // squares: 1 4 25 4
  CHECK(cold[0] == doctest::Approx(1 / 34.0).epsilon(0.1));
  CHECK(cold[2] == doctest::Approx(25 / 34.0).epsilon(0.05));
  const auto top = frequencies(logits, {.top_k = 2});  // of the equal ones, the first stays
  CHECK(top[0] == 0);
  CHECK(top[3] == 0);
  CHECK(top[1] == doctest::Approx(2 / 7.0).epsilon(0.05));
  CHECK(frequencies(logits, {.top_k = 100}) == plain);
}

TEST_CASE("the nucleus is the fewest likeliest symbols of the given probability") {
  const std::vector<float> logits{std::log(1.f), std::log(2.f), std::log(5.f), std::log(2.f)};
  const auto half = frequencies(logits, {.top_p = 0.45});
  CHECK(half[2] == doctest::Approx(1));
  const auto most = frequencies(logits, {.top_p = 0.75});  // 0.5 and 0.2 are not enough
  CHECK(most[0] == 0);
  CHECK(most[1] == doctest::Approx(2 / 9.0).epsilon(0.05));
  CHECK(most[3] == doctest::Approx(2 / 9.0).epsilon(0.05));
  CHECK(frequencies(logits, {.top_p = 1}) == frequencies(logits, {}));
  const auto both = frequencies(logits, {.top_k = 2, .top_p = 0.75});  // of the two, 5 / 7 is not enough
  CHECK(both[1] == doctest::Approx(2 / 7.0).epsilon(0.05));
  CHECK(frequencies(logits, {.top_p = 1e-9})[2] == doctest::Approx(1));
}

TEST_CASE("greedy, temperature 0 and top 1 take the likeliest") {
  Rng rng(1);
  const std::vector<float> logits{1, 5, 5, -2};
  CHECK(choose(logits, {.greedy = true}, rng) == 1);
  CHECK(choose(logits, {.temperature = 0}, rng) == 1);
  CHECK(rng.state().position == 0);
  CHECK(choose(logits, {.top_k = 1}, rng) == 1);
  const std::vector<float> close{1, 5, 5.001f, -2};
  CHECK(choose(close, {.temperature = 1e-30}, rng) == 2);
}

TEST_CASE("large logits do not overflow") {
  Rng rng(1);
  CHECK(choose(std::vector<float>{3e38f, -3e38f}, {.temperature = 1e-3}, rng) == 0);
}

TEST_CASE("the same seed chooses the same") {
  Rng a(9), b(9);
  const std::vector<float> logits(50, 0.f);
  for (int i = 0; i < 100; ++i) CHECK(choose(logits, {}, a) == choose(logits, {}, b));
}

TEST_CASE("options and logits that make no sense are refused") {
  Rng rng(1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> logits{0, 1};
  CHECK_THROWS_WITH_AS(choose(logits, {.temperature = nan}, rng),
                       "the temperature is nan: it must be a number of 0 or more", Error);
  CHECK_THROWS_AS(choose(logits, {.temperature = -1}, rng), Error);
  CHECK_THROWS_AS(choose(logits, {.top_k = -1}, rng), Error);
  CHECK_THROWS_WITH_AS(choose(logits, {.top_p = 1.5}, rng), "top-p is 1.5: it must be above 0 and at most 1", Error);
  CHECK_THROWS_AS(choose(logits, {.top_p = 0}, rng), Error);
  CHECK_THROWS_AS(choose(logits, {.top_p = nan}, rng), Error);
  CHECK_THROWS_AS(choose({}, {}, rng), Error);
  CHECK_THROWS_AS(choose(std::vector<float>{0, static_cast<float>(nan)}, {}, rng), Error);
}
