#include <cmath>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/models/text/bigram.h>

using namespace rw;

namespace {

/// A text that follows a chain: from every character, one of two with the given probabilities.
std::vector<std::int32_t> chain(std::size_t n, double first) {
  Rng rng(7);
  std::vector<std::int32_t> out{0};
  while (out.size() < n) out.push_back((out.back() * 2 + (rng.uniform() < first ? 1 : 3)) % 8);
  return out;
}

}  // namespace

TEST_CASE("the loss of a bigram model is the entropy of a chain") {
  const TextData data(chain(200'000, 0.25), {.batch = 4, .sequence = 100, .held_out = 0.2});
  const double entropy = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
  CHECK(bigram_loss(data, 8) == doctest::Approx(entropy).epsilon(0.01));
}

TEST_CASE("a text of one pair costs almost nothing, and pairs never seen cost a finite amount") {
  std::vector<std::int32_t> text(1000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int32_t>(i % 2);
  CHECK(bigram_loss(TextData(text, {.batch = 1, .sequence = 10, .held_out = 0.1}), 2) < 0.01);
  for (std::size_t i = 900; i < text.size(); ++i) text[i] = 2;
  const double loss = bigram_loss(TextData(text, {.batch = 1, .sequence = 10, .held_out = 0.1}), 3);
  CHECK(std::isfinite(loss));
  CHECK(loss > 1);
}

TEST_CASE("without a held-out part there is no score") {
  CHECK_THROWS_AS(bigram_loss(TextData(chain(100, 0.5), {.batch = 1, .sequence = 10, .held_out = 0}), 8), Error);
}
