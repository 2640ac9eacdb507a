#include <cmath>
#include <set>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/init.h>
#include <rewind/models/text/ctc.h>
#include <rewind/ops/ctc.h>
#include <rewind/ops/softmax.h>

using namespace rw;

namespace {

Array logs(Index steps, Index classes, std::uint64_t seed) {
  Rng rng(seed);
  Tape tape(DType::f64);
  return log_softmax(tape.constant(uniform(rng, {steps, classes}, -2, 2))).array();
}

double loss(const Array& x, const Tokens& tokens, Index blank) {
  Tape tape(DType::f64);
  const auto S = static_cast<Index>(tokens.size());
  const Tensor y = tape.constant(Array(tokens).reshaped({S, 1}));
  return ctc_loss(tape.constant(x.reshaped({x.shape()[0], 1, x.shape()[1]})), y, {.blank = blank}).item();
}

// Rows that are almost sure of one class each.
Array sure(const std::vector<Index>& classes, Index count) {
  Array x({static_cast<Index>(classes.size()), count}, DType::f64);
  for (Index i = 0; i < x.size(); ++i) x.span<double>()[static_cast<std::size_t>(i)] = std::log(0.01);
  for (std::size_t t = 0; t < classes.size(); ++t) x.set({static_cast<Index>(t), classes[t]}, std::log(0.9));
  return x;
}

}  // namespace

TEST_CASE("best path: equal classes in a row are one symbol, blanks are none, and lengths end it") {
  const Array one = sure({0, 1, 1, 0, 1, 2, 2}, 3), other = sure({2, 2, 2, 1, 0, 0, 1}, 3);
  Array both({7, 2, 3}, DType::f64);
  for (Index t = 0; t < 7; ++t)
    for (Index c = 0; c < 3; ++c) {
      both.set({t, 0, c}, one.at({t, c}));
      both.set({t, 1, c}, other.at({t, c}));
    }
  CHECK(ctc_best_path(both) == std::vector<Tokens>{{1, 1, 2}, {2, 1, 1}});
  CHECK(ctc_best_path(both, Array(std::vector<std::int32_t>{5, 0})) == std::vector<Tokens>{{1, 1}, {}});
  CHECK(ctc_best_path(both, std::nullopt, 2) == std::vector<Tokens>{{0, 1, 0, 1}, {1, 0, 1}});
  CHECK(ctc_best_path(Array({0, 1, 3}, DType::f32)) == std::vector<Tokens>{{}});
}

TEST_CASE("prefix beam search that drops nothing has ctc_loss's probabilities, and all of them") {
  for (const Index blank : {0, 2}) {
    const Array x = logs(5, 3, 4);
    const std::vector<CtcHypothesis> all = ctc_beam(x, {.width = 1000, .blank = blank});
    double total = 0;
    std::set<Tokens> seen;
    for (std::size_t i = 0; i < all.size(); ++i) {
      CHECK(all[i].log_probability == doctest::Approx(-loss(x, all[i].tokens, blank)).epsilon(1e-12));
      CHECK(all[i].score == all[i].log_probability);
      if (i > 0) CHECK(all[i].score <= all[i - 1].score);
      total += std::exp(all[i].log_probability);
      seen.insert(all[i].tokens);
    }
    CHECK(total == doctest::Approx(1).epsilon(1e-12));
    CHECK(seen.size() == all.size());
    CHECK(ctc_beam(x, {.width = 3, .blank = blank}).size() == 3);
  }
  // No steps say nothing, for sure.
  const std::vector<CtcHypothesis> nothing = ctc_beam(Array({0, 3}, DType::f32));
  REQUIRE(nothing.size() == 1);
  CHECK(nothing[0].tokens.empty());
  CHECK(nothing[0].log_probability == 0);
}

TEST_CASE("a text of many alignments beats the best path, and a language model the sound") {
  // At both steps the blank is likeliest, and yet "a" is likelier than nothing (Graves et al., 2006, figure 2).
  const Array x = Array({std::log(0.6), std::log(0.4), std::log(0.6), std::log(0.4)}, {2, 2});
  CHECK(ctc_best_path(x.reshaped({2, 1, 2})) == std::vector<Tokens>{{}});
  CHECK(ctc_beam(x)[0].tokens == Tokens{1});
  CHECK(ctc_beam(x)[0].log_probability == doctest::Approx(std::log(0.64)));
  // Sound says 1 2, the language that only 1 3 is.
  const Array heard = sure({1, 0, 2}, 4);
  CHECK(ctc_beam(heard)[0].tokens == Tokens{1, 2});
  const auto language = [](std::span<const std::int32_t> prefix, std::int32_t next) {
    return !prefix.empty() && prefix.back() == 1 && next == 3 ? std::log(0.999) : std::log(0.0005);
  };
  const CtcHypothesis best = ctc_beam(heard, {.language_model = language, .insertion = 7})[0];
  CHECK(best.tokens == Tokens{1, 3});
  CHECK(best.score == doctest::Approx(best.log_probability + std::log(0.0005) + std::log(0.999) + 14));
  const auto never = [](auto, auto) { return -INFINITY; };
  CHECK(ctc_beam(heard, {.language_model = never, .weight = 0})[0].tokens == Tokens{1, 2});
  CHECK(ctc_beam(heard, {.language_model = never})[0].tokens.empty());
}

TEST_CASE("classes that are impossible are not followed, and what is impossible altogether has no text") {
  Array x = logs(4, 3, 5);
  for (Index t = 0; t < 4; ++t) x.set({t, 1}, -INFINITY);
  const std::vector<CtcHypothesis> all = ctc_beam(x, {.width = 1000});
  CHECK(all.size() == 3);  // nothing, 2 and 2 2, in four steps
  for (const CtcHypothesis& h : all) {
    CHECK(std::isfinite(h.log_probability));
    CHECK(h.log_probability == doctest::Approx(-loss(x, h.tokens, 0)).epsilon(1e-12));
    for (const std::int32_t symbol : h.tokens) CHECK(symbol == 2);
  }
  for (Index c = 0; c < 3; ++c) x.set({2, c}, -INFINITY);
  CHECK(ctc_beam(x).empty());
}

TEST_CASE("what decoding refuses") {
  const Array x = logs(3, 4, 1);
  CHECK_THROWS_WITH_AS(ctc_beam(x, {.width = 0}), "ctc_beam: the width must be 1 or more, not 0", Error);
  CHECK_THROWS_WITH_AS(ctc_beam(x, {.blank = 4}), "ctc_beam: the blank is 4: it must be one of 4 classes", Error);
  CHECK_THROWS_WITH_AS(ctc_beam(x.reshaped({3, 1, 4})),
                       "ctc_beam: log probabilities are reals [T, C], not f64 (3, 1, 4)", Error);
  CHECK_THROWS_WITH_AS(ctc_best_path(x), "ctc_best_path: log probabilities are reals [T, N, C], not f64 (3, 4)", Error);
  CHECK_THROWS_WITH_AS(ctc_best_path(x.reshaped({3, 1, 4}), Array(std::vector<std::int32_t>{4})),
                       "ctc_best_path: sequence 0 has 4 steps: there are 3", Error);
  CHECK_THROWS_WITH_AS(ctc_best_path(x.reshaped({3, 1, 4}), Array(std::vector<std::int32_t>{1, 1})),
                       "ctc_best_path: lengths of (3, 1, 4) are i32 (1), not i32 (2)", Error);
  Array bad = x;
  bad.set({1, 2}, NAN);
  CHECK_THROWS_WITH_AS(ctc_beam(bad), "ctc_beam: a log probability of step 1 is nan", Error);
  CHECK_THROWS_WITH_AS(ctc_beam(x, {.language_model = [](auto, auto) { return NAN; }}),
                       "ctc_beam: the language model says nan for symbol 1", Error);
}
