#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/models/text/char_model.h>
#include <rewind/models/text/token_decoder.h>

using namespace rw;

namespace {

/// A model of V symbols that nobody trained, with weights large enough for decided opinions.
class Tiny : public Module {
 public:
  using State = GruCell::State;
  Tiny(Index symbols, std::uint64_t seed, double scale = 2) : Tiny(symbols, Rng(seed), scale) {}

  State zero_state(Tape& tape, Index batch) const { return cell_.zero_state(tape, batch); }
  Tensor logits(Tensor tokens, State& state) const {
    const auto states = unroll(cell_, tokens, state);
    state = states.back();
    return output_(outputs(states));
  }

 private:
  Tiny(Index symbols, Rng rng, double scale)
      : cell_(child("cell", GruCell(symbols, 6, rng, {.weights = Init::normal(scale)}))),
        output_(child("output", Linear(6, symbols, rng, {.weights = Init::normal(scale)}))) {}
  GruCell& cell_;
  Linear& output_;
};
static_assert(TokenModel<Tiny> && TokenModel<CharModel>);

using Prompts = std::vector<Tokens>;

// log P(tokens | prompt), by the model alone.
double log_probability(const Tiny& model, const Tokens& prompt, const Tokens& tokens) {
  Tokens all = prompt;
  all.insert(all.end(), tokens.begin(), tokens.end());
  Tape tape;
  auto state = model.zero_state(tape, 1);
  const Array logits = model.logits(tape.constant(Array(all, {static_cast<Index>(all.size()), 1})), state).array();
  const Index symbols = logits.shape()[2];
  double total = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto t = static_cast<Index>(prompt.size() + i) - 1;
    double sum = 0;
    for (Index v = 0; v < symbols; ++v) sum += std::exp(logits.at({t, 0, v}));
    total += logits.at({t, 0, tokens[i]}) - std::log(sum);
  }
  return total;
}

// All continuations: those that end with `stop`, and those of full length without it.
void each_continuation(Index symbols, Index length, std::int32_t stop, Tokens& so_far, std::vector<Tokens>& into) {
  for (std::int32_t v = 0; v < symbols; ++v) {
    so_far.push_back(v);
    if (v == stop || static_cast<Index>(so_far.size()) == length)
      into.push_back(so_far);
    else
      each_continuation(symbols, length, stop, so_far, into);
    so_far.pop_back();
  }
}

}  // namespace

TEST_CASE("a beam of 1 is greedy choice") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    const Tiny model(7, seed);
    TokenDecoder decoder(model, 2);
    decoder.read(Prompts{{1, 2}, {3}});
    const auto beams = decoder.beam({.width = 1, .length = 12, .stop = 0});
    const auto greedy = decoder.sample({.choice = {.greedy = true}, .length = 12, .stop = 0});
    for (std::size_t n = 0; n < 2; ++n) {
      REQUIRE(beams[n].size() == 1);
      CHECK(beams[n][0].tokens == greedy[n]);
      CHECK(beams[n][0].stopped == (greedy[n].back() == 0));
    }
  }
}

TEST_CASE("a beam of full width is exhaustive search") {
  constexpr Index V = 4, length = 4;
  constexpr std::int32_t stop = 2;
  std::vector<Tokens> all;
  Tokens none;
  each_continuation(V, length, stop, none, all);
  for (const double penalty : {0.0, 0.6, 3.0}) {
    CAPTURE(penalty);
    const Tiny model(V, 11, 1.0);
    TokenDecoder decoder(model);
    decoder.read(Prompts{{1, 3}});
    const auto found = decoder.beam({.width = 256, .length = length, .stop = stop, .length_penalty = penalty})[0];
    REQUIRE(found.size() == all.size());
    std::vector<double> scores;
    for (const Tokens& tokens : all)
      scores.push_back(log_probability(model, {1, 3}, tokens) /
                       std::pow((5.0 + static_cast<double>(tokens.size())) / 6.0, penalty));
    const auto best = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    CHECK(found[0].tokens == all[best]);
    double total = 0;
    for (const Hypothesis& h : found) {
      const auto at = static_cast<std::size_t>(std::find(all.begin(), all.end(), h.tokens) - all.begin());
      REQUIRE(at < all.size());
      CHECK(h.score == doctest::Approx(scores[at]).epsilon(1e-4));
      CHECK(h.stopped == (h.tokens.back() == stop));
      total += std::exp(h.log_probability);
    }
    CHECK(total == doctest::Approx(1).epsilon(1e-4));
    CHECK(std::is_sorted(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.score > b.score; }));
  }
}

TEST_CASE("a wider beam finds what greedy choice misses, and its scores are the model's") {
  int better = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Tiny model(6, seed);
    TokenDecoder decoder(model);
    decoder.read(Prompts{{1}});
    const auto greedy = decoder.beam({.width = 1, .length = 6})[0], wide = decoder.beam({.width = 20, .length = 6})[0];
    CHECK(wide.size() == 20);
    CHECK(wide[0].log_probability == doctest::Approx(log_probability(model, {1}, wide[0].tokens)).epsilon(1e-4));
    better += wide[0].score > greedy[0].score + 1e-6;
  }
  CHECK(better > 3);
}

TEST_CASE("streams of a batch, with prompts of any lengths, are as each alone") {
  const Tiny model(9, 3);
  const Prompts prompts{{1, 2, 3, 4, 5}, {6}, {7, 8, 1}, {2, 2, 2}};
  TokenDecoder batch(model, 4, {.seed = 5});
  batch.read(prompts);
  const auto beams = batch.beam({.width = 3, .length = 6, .stop = 0});
  const auto greedy = batch.sample({.choice = {.greedy = true}, .length = 8, .stop = 0});
  for (std::size_t n = 0; n < 4; ++n) {
    TokenDecoder alone(model);
    alone.read(Prompts{prompts[n]});
    const auto own = alone.beam({.width = 3, .length = 6, .stop = 0})[0];
    REQUIRE(own.size() == beams[n].size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      CHECK(own[i].tokens == beams[n][i].tokens);
      CHECK(own[i].score == doctest::Approx(beams[n][i].score).epsilon(1e-5));
    }
    CHECK(alone.sample({.choice = {.greedy = true}, .length = 8, .stop = 0})[0] == greedy[n]);
    // A stream that ended keeps its state while others go on.
    for (Index v = 0; v < 9; ++v)
      CHECK(alone.logits()[static_cast<std::size_t>(v)] ==
            doctest::Approx(batch.logits(static_cast<Index>(n))[static_cast<std::size_t>(v)]).epsilon(1e-4));
  }
}

TEST_CASE("a stream's draws do not depend on the others, and come as often as they should") {
  const Tiny model(5, 4, 1.0);
  TokenDecoder two(model, 2, {.seed = 9}), three(model, 3, {.seed = 9});
  two.read(Prompts{{1}, {2}});
  three.read(Prompts{{1}, {2}, {3}});
  const auto a = two.sample({.length = 30}), b = three.sample({.length = 30});
  CHECK(a[0] == b[0]);
  CHECK(a[1] == b[1]);
  CHECK(a[0] != a[1]);
  two.reset();
  two.set_seed(9);
  two.read(Prompts{{1}, {2}});
  CHECK(two.sample({.length = 30}) == a);
  for (const auto& stream : two.sample({.choice = {.top_k = 1}, .length = 5})) CHECK(stream.size() == 5);
}

TEST_CASE("states go on from call to call") {
  const Tiny model(8, 6);
  TokenDecoder once(model), parts(model);
  once.read(Prompts{{1, 2, 3, 4}});
  parts.read(Prompts{{1, 2}});
  parts.read(std::vector<std::int32_t>{3, 4});
  const SampleOptions greedy{.choice = {.greedy = true}, .length = 6};
  const Tokens text = once.sample(greedy)[0];
  Tokens begun = parts.sample({.choice = {.greedy = true}, .length = 2})[0];
  const Tokens rest = parts.sample({.choice = {.greedy = true}, .length = 4})[0];
  begun.insert(begun.end(), rest.begin(), rest.end());
  CHECK(begun == text);

  TokenDecoder other(model);
  other.set_state(once.state());
  CHECK(other.state() == once.state());
  other.read(std::vector<std::int32_t>{5});
  once.read(std::vector<std::int32_t>{5});
  CHECK(other.sample(greedy) == once.sample(greedy));
  once.beam({.width = 3, .length = 4});  // leaves the state alone
  other.sample({.length = 0});
  CHECK(other.sample(greedy) == once.sample(greedy));

  TokenDecoder whole(model), single(model);  // longer than what is read at once
  const Tokens prompt(700, 3);
  whole.read(prompt);
  for (const std::int32_t t : prompt) single.read(std::span(&t, 1));
  CHECK(whole.sample(greedy) == single.sample(greedy));
}

TEST_CASE("a compiled step chooses the same") {
  const Tiny model(8, 6);
  TokenDecoder eager(model, 2, {.seed = 3}), compiled(model, 2, {.seed = 3, .compiled = true});
  for (auto* decoder : {&eager, &compiled}) decoder->read(Prompts{{1, 2}, {3}});
  CHECK(eager.sample({.length = 20}) == compiled.sample({.length = 20}));
  CHECK(eager.beam({.width = 2, .length = 5})[1][0].tokens == compiled.beam({.width = 2, .length = 5})[1][0].tokens);
}

TEST_CASE("a stop symbol ends a stream, and is its last") {
  const Tiny model(5, 8, 0.5);
  TokenDecoder decoder(model, 3, {.seed = 2});
  decoder.read(std::vector<std::int32_t>{1});
  const auto drawn = decoder.sample({.length = 400, .stop = 3});
  for (const Tokens& tokens : drawn) {
    CHECK(tokens.back() == 3);
    CHECK(std::count(tokens.begin(), tokens.end(), 3) == 1);
  }
}

TEST_CASE("decoding that makes no sense is refused, and leaves the decoder as it was") {
  const Tiny model(5, 1);
  CHECK_THROWS_WITH_AS(TokenDecoder(model, 0), "decoder: a batch of 0: it must be 1 or more", Error);
  TokenDecoder decoder(model, 2);
  const char* unread = "decoder: nothing was read: read a prompt, or a first symbol, to begin with";
  CHECK_THROWS_WITH_AS(decoder.sample({}), unread, Error);
  CHECK_THROWS_WITH_AS(decoder.beam({}), unread, Error);
  CHECK_THROWS_WITH_AS(decoder.logits(), unread, Error);
  CHECK_THROWS_WITH_AS(decoder.read(Prompts{{1}}), "decoder: 1 prompts for a batch of 2", Error);
  CHECK_THROWS_WITH_AS(decoder.read(Prompts{{1}, {}}),
                       "decoder: a stream has an empty prompt, and nothing was read before", Error);
  decoder.read(std::vector<std::int32_t>{1});
  const SavedState before = decoder.state();
  CHECK_THROWS_AS(decoder.read(std::vector<std::int32_t>{1, 5}), Error);  // no such symbol
  CHECK_THROWS_WITH_AS(decoder.beam({.width = 0}), "a beam of 0: its width must be 1 or more", Error);
  CHECK_THROWS_AS(decoder.beam({.width = -3}), Error);
  CHECK_THROWS_WITH_AS(decoder.beam({.length = 0}), "a length of 0 symbols: it must be 1 or more", Error);
  CHECK_THROWS_WITH_AS(decoder.beam({.length_penalty = -1}),
                       "the length penalty is -1: it must be a number of 0 or more", Error);
  CHECK_THROWS_AS(decoder.beam({.length_penalty = std::nan("")}), Error);
  CHECK_THROWS_WITH_AS(decoder.beam({.stop = 5}), "decoder: the stop symbol is 5, of 5 symbols", Error);
  CHECK_THROWS_AS(decoder.sample({.stop = -1}), Error);
  CHECK_THROWS_WITH_AS(decoder.sample({.length = -1}), "decoder: a length of -1 symbols: it must be 0 or more", Error);
  CHECK_THROWS_WITH_AS(decoder.sample({.choice = {.top_p = 0}}), "top-p is 0: it must be above 0 and at most 1", Error);
  CHECK_THROWS_AS(decoder.logits(2), Error);
  CHECK_THROWS_AS(decoder.set_state({}), Error);
  CHECK(decoder.state() == before);
  decoder.read(Prompts{{}, {2}});  // now an empty prompt leaves its stream alone
  CHECK(decoder.state() != before);
}
