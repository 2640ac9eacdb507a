#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/tape.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/models/init.h>
#include <rewind/models/metrics.h>
#include <rewind/ops/loss.h>

using namespace rw;

namespace {

const Array logits({0.0, 0.0, 0.0, 0.0,     // right by being the first of equals
                    1000.0, 0.0, 0.0, 0.0,  // right and sure
                    0.0, 0.0, -1.0, 2.0,    // wrong
                    5.0, 0.0, 0.0, 0.0},    // wrong
                   {2, 2, 4});
const Array targets({0, 0, 1, 2}, {2, 2});

const double third = std::log(2 + std::exp(-1.0) + std::exp(2.0)), fourth = std::log(3 + std::exp(5.0));

}  // namespace

TEST_CASE("nats, bits, perplexity and accuracy, by hand") {
  Score score;
  score.add(logits, targets);
  const double nats = (std::log(4.0) + third + fourth) / 4;
  CHECK(score.count() == 4);
  CHECK(score.nats() == doctest::Approx(nats).epsilon(1e-14));
  CHECK(score.bits() == doctest::Approx(nats / std::log(2.0)).epsilon(1e-14));
  CHECK(score.perplexity() == doctest::Approx(std::exp(nats)).epsilon(1e-14));
  CHECK(score.accuracy() == 0.5);
  CHECK(score.bits_per(8) == doctest::Approx(score.bits() / 2).epsilon(1e-14));
  CHECK(bits(std::log(8.0)) == doctest::Approx(3));
  CHECK(perplexity(0) == 1);
  CHECK(std::isnan(Score().nats()));
}

TEST_CASE("with a mask, of any element type, only what counts is looked at") {
  Array padded = targets;
  padded.span<std::int32_t>()[3] = -1;
  Array broken = logits;
  for (std::size_t i = 12; i < 16; ++i) broken.span<double>()[i] = std::numeric_limits<double>::quiet_NaN();
  for (const DType dtype : {DType::f32, DType::f64, DType::i32}) {
    Score score;
    score.add(broken.view(), padded, Array({1.0, 0.0, 1.0, 0.0}, {2, 2}).to(dtype));
    CHECK(score.count() == 2);
    CHECK(score.nats() == doctest::Approx((std::log(4.0) + third) / 2).epsilon(1e-14));
    CHECK(score.accuracy() == 0.5);
  }
  Score weighted;
  weighted.add(logits, targets, Array({3.0, 0.0, 0.5, 0.0}, {2, 2}));
  CHECK(weighted.accuracy() == doctest::Approx(3 / 3.5));
}

TEST_CASE("batches add up, and the mean is the loss's") {
  Rng rng(1);
  const Array x = uniform(rng, {5, 3, 7}, -4, 4);
  Array y(Shape{5, 3}, DType::i32);
  for (std::int32_t& c : y.span<std::int32_t>()) c = static_cast<std::int32_t>(rng.uniform(0, 7));
  Tape tape(DType::f64);
  Score twice;
  twice.add(x, y);
  twice.add(x, y);
  CHECK(twice.count() == 30);
  CHECK(twice.nats() == doctest::Approx(cross_entropy(tape.constant(x), tape.constant(y)).item()).epsilon(1e-12));
}

TEST_CASE("bad input is refused, and nothing is added") {
  Score score;
  CHECK_THROWS_WITH_AS(
      score.add(logits, Array(Shape{2, 3}, DType::i32)),
      "score: logits [..., C], i32 targets [...] and weights [...] are expected, not (2, 2, 4), i32 (2, "
      "3) and (2, 3)",
      Error);
  CHECK_THROWS_AS(score.add(logits, targets.to(DType::f32)), Error);
  CHECK_THROWS_AS(score.add(logits, targets, full({2}, 1)), Error);
  Array outside = targets;
  outside.span<std::int32_t>()[2] = 4;
  CHECK_THROWS_WITH_AS(score.add(logits, outside), "score: target 4 of position 2 is outside [0, 4)", Error);
  CHECK_THROWS_WITH_AS(score.add(logits, targets, full({2, 2}, -1)),
                       "score: weight -1.000000 of position 0 is not a finite number of 0 or more", Error);
  CHECK(score.count() == 0);
}
