#include <cmath>
#include <limits>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/classic/hmm.h>
#include <rewind/models/init.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "support.h"

using namespace rw;
using rw::test::distance;
using rw::test::golden;

namespace {

// The model of tests/golden/classic.py, with transitions that are impossible, and its two sequences.
const Array start({0.6, 0.4, 0.0}, {3});
const Array transition({0.5, 0.5, 0.0, 0.0, 0.3, 0.7, 0.2, 0.2, 0.6}, {3, 3});
const Array emission({0.7, 0.2, 0.1, 0.1, 0.3, 0.6, 0.3, 0.4, 0.3}, {3, 3});
const Array symbols({0, 2, 2, 1, 1, 0, 2, 0, 0, 0, 1, 0}, {6, 2});  // [T, N], the second one padded
const Array lengths({6, 3}, {2});

const DiscreteHmm& model() {
  static const DiscreteHmm hmm(start, transition, emission);
  return hmm;
}

// Position [.., n] of a tensor with a batch axis.
Array of_sequence(Tensor t, int axis, Index n) { return select(t, axis, n).array(); }

double finite_part(const Array& a) {
  double sum = 0;
  for (const double x : a.to_vector<double>()) sum += std::isfinite(x) ? std::abs(x) : 1e9;
  return sum;
}

}  // namespace

TEST_CASE("log-likelihood, posterior, counts and best path are those of all paths gone through") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(symbols), ends = tape.constant(lengths);
  const HmmScores scores = model().scores(x, ends);
  const HmmPosterior posterior = hmm_posterior(scores, ends);
  const Tensor likelihood = hmm_log_likelihood(scores, ends), best = hmm_best_score(scores, ends);
  const ViterbiPath path = viterbi(scores, ends);
  for (const Index n : {0, 1}) {
    const std::string name = n == 0 ? "hmm_long_" : "hmm_short_";
    CAPTURE(name);
    const Index length = n == 0 ? 6 : 3;
    CHECK(distance(of_sequence(likelihood, 0, n), golden(name + "log_likelihood")) < 1e-13);
    CHECK(distance(of_sequence(posterior.log_likelihood, 0, n), golden(name + "log_likelihood")) < 1e-13);
    CHECK(distance(slice(select(posterior.states, 1, n), 0, 0, length).array(), golden(name + "states")) < 1e-13);
    CHECK(distance(of_sequence(posterior.transitions, 0, n), golden(name + "transitions")) < 1e-13);
    CHECK(distance(of_sequence(best, 0, n), golden(name + "best")) < 1e-13);
    CHECK(path.scores.at({n}) == doctest::Approx(golden(name + "best")[0]).epsilon(1e-14));
    for (Index t = 0; t < length; ++t)
      CHECK(path.states.at({t, n}) == golden(name + "path")[static_cast<std::size_t>(t)]);
  }
  CHECK(finite_part(slice(select(posterior.states, 1, 1), 0, 3, 3).array()) == 0);  // padding
}

TEST_CASE("so are those of a model whose outputs are numbers") {
  const GaussianHmm hmm(Array({0.3, 0.7}, {2}), Array({0.9, 0.1, 0.2, 0.8}, {2, 2}),
                        Array({-1.0, 0.5, 1.0, 0.0}, {2, 2}), Array({0.5, 2.0, 1.5, 0.7}, {2, 2}));
  Tape tape(DType::f64);
  const HmmScores scores = hmm.scores(tape.constant(Array({-0.8, 1.0, 0.3, -0.4, 1.9, 0.2, -0.1, 0.6}, {4, 1, 2})));
  const ViterbiPath path = viterbi(scores);
  CHECK(distance(hmm_log_likelihood(scores).array(), golden("gaussian_log_likelihood")) < 1e-13);
  CHECK(distance(hmm_posterior(scores).states.array(), golden("gaussian_states")) < 1e-13);
  CHECK(distance(path.scores, golden("gaussian_best")) < 1e-13);
  CHECK(distance(path.states, golden("gaussian_path")) == 0);
}

TEST_CASE("the gradient of the log-likelihood is the posterior, and the counts of Baum and Welch") {
  Tape tape(DType::f64);
  const Tensor ends = tape.constant(lengths);
  const HmmScores known = model().scores(tape.constant(symbols), ends);
  const HmmScores scores{tape.variable(known.start.value()), tape.variable(known.transition.value()),
                         tape.variable(known.emission.value())};
  const HmmPosterior posterior = hmm_posterior(scores, ends);
  const auto d = grad(sum(hmm_log_likelihood(scores, ends)), {scores.start, scores.transition, scores.emission});
  CHECK(distance(d[2].array(), posterior.states.array()) < 1e-13);
  CHECK(distance(d[1].array(), sum(posterior.transitions, {0}).array()) < 1e-13);
  CHECK(distance(d[0].array(), sum(select(posterior.states, 0, 0), {0}).array()) < 1e-13);
}

TEST_CASE("Viterbi's path is the gradient of the max-product form") {
  Tape tape(DType::f64);
  const Tensor ends = tape.constant(lengths);
  const HmmScores known = model().scores(tape.constant(symbols), ends);
  const HmmScores scores{known.start, known.transition, tape.variable(known.emission.value())};
  const Tensor d = grad(sum(hmm_best_score(scores, ends)), scores.emission);
  const ViterbiPath path = viterbi(scores, ends);
  for (Index n = 0; n < 2; ++n)
    for (Index t = 0; t < 6; ++t)
      for (Index s = 0; s < 3; ++s) {
        const bool on_path = t < lengths.at({n}) && path.states.at({t, n}) == static_cast<double>(s);
        CHECK(d.array().at({t, n, s}) == (on_path ? 1 : 0));
      }
}

TEST_CASE("gradients of both kinds of models, orders 1 and 2, and compiled") {
  Rng rng(3);
  const DiscreteHmm discrete(3, 4, rng);
  Array x({5, 2}, DType::i32);
  for (std::int32_t& i : x.span<std::int32_t>()) i = static_cast<std::int32_t>(rng.below(4));
  const Array ends({5, 2}, {2});
  const GaussianHmm gaussian(full({2}, 0.5), full({2, 2}, 0.5), Array({-1.0, 0.5, 1.0, 0.0}, {2, 2}),
                             Array({0.5, 1.0, 2.0, 0.7}, {2, 2}));
  const Array numbers = uniform(rng, {5, 2, 2}, -1, 1);
  const auto check = [&](const HiddenMarkovModel& m, const Array& seen) {
    const auto loss = [&](Tape& tape) {
      const Tensor l = tape.constant(ends);
      return -mean(m.log_likelihood(tape.constant(seen), l));
    };
    CHECK(gradcheck(loss, m.parameters()).ok());
    CHECK(gradcheck(loss, m.parameters(), {.order = 2}).ok());
    rw::test::check_plan(loss, m.parameters());
    const auto posterior = [&](Tape& tape) {
      const Tensor l = tape.constant(ends);
      const HmmPosterior p = hmm_posterior(m.scores(tape.constant(seen), l), l);
      return sum(square(p.states)) + sum(square(p.transitions));
    };
    CHECK(gradcheck(posterior, m.parameters()).ok());
    rw::test::check_plan(posterior, m.parameters());
  };
  check(discrete, x);
  check(gaussian, numbers);
}

TEST_CASE("the forward algorithm, the posterior and the max-product form fold in time, with their gradients") {
  const GaussianHmm hmm(Array({0.3, 0.7}, {2}), Array({0.9, 0.1, 0.2, 0.8}, {2, 2}), Array({-1.0, 1.0}, {2, 1}),
                        Array({0.5, 1.5}, {2, 1}));
  CHECK(rw::test::folds([&](Tape&, Tensor x) { return sum(hmm.log_likelihood(x)); }, {3, 1}));
  CHECK(rw::test::folds([&](Tape&, Tensor x) { return sum(square(hmm_posterior(hmm.scores(x)).states)); }, {3, 1}));
  CHECK(rw::test::folds([&](Tape&, Tensor x) { return sum(hmm_best_score(hmm.scores(x))); }, {3, 1}));
}

TEST_CASE("a batch of unequal lengths is each sequence alone, a length of 0 too, and nan in the padding is harmless") {
  const GaussianHmm hmm(Array({0.3, 0.7}, {2}), Array({0.9, 0.1, 0.2, 0.8}, {2, 2}), Array({-1.0, 1.0}, {2, 1}),
                        Array({0.5, 1.5}, {2, 1}));
  Rng rng(8);
  Array x = uniform(rng, {4, 3, 1}, -2, 2).to(DType::f64);
  const Array ends({2, 0, 4}, {3});
  for (const Index t : {2, 3}) x.set({t, 0, 0}, NAN);
  for (const Index t : {0, 1, 2, 3}) x.set({t, 1, 0}, NAN);
  Tape tape(DType::f64);
  const Tensor all = hmm.log_likelihood(tape.constant(x), tape.constant(ends));
  for (const Index n : {0, 2}) {
    const Tensor alone = slice(slice(tape.constant(x), 1, n, 1), 0, 0, static_cast<Index>(ends.at({n})));
    CHECK(all.array().at({n}) == doctest::Approx(hmm.log_likelihood(alone).item()).epsilon(1e-13));
  }
  CHECK(std::abs(all.array().at({1})) < 1e-15);
  const HmmPosterior posterior = hmm_posterior(hmm.scores(tape.constant(x), tape.constant(ends)), tape.constant(ends));
  CHECK(finite_part(posterior.states.array()) == doctest::Approx(6));  // one a step that is there
  hmm.zero_grad();
  backward(sum(all));
  for (const NamedParameter& p : hmm.parameters()) CHECK(finite_part(p.parameter->grad()) < 1e3);
}

TEST_CASE("transitions of probability 0 stay so, without nan in any gradient") {
  DiscreteHmm hmm(start, transition, emission);
  Tape tape(DType::f64);
  backward(-sum(hmm.log_likelihood(tape.constant(symbols), tape.constant(lengths))));
  for (const NamedParameter& p : hmm.parameters()) CHECK(finite_part(p.parameter->grad()) < 1e3);
  CHECK(hmm.parameter("transition").grad().at({0, 2}) == 0);
  hmm.baum_welch(symbols, 5, lengths);
  CHECK(std::isinf(hmm.parameter("transition").value().at({0, 2})));
  CHECK(std::isinf(hmm.parameter("start").value().at({2})));
  // A sequence that no path makes.
  const DiscreteHmm stuck(Array({1.0, 0.0}, {2}), identity(2), identity(2));
  CHECK(stuck.log_likelihood(tape.constant(Array({0, 1}, {2, 1}))).item() == -std::numeric_limits<double>::infinity());
}

TEST_CASE("Baum and Welch's rounds: the likelihood never falls, and one round is the counts of the posterior") {
  DiscreteHmm hmm(start, transition, emission);
  Tape tape(DType::f64);
  const Tensor ends = tape.constant(lengths);
  const HmmPosterior before = hmm_posterior(hmm.scores(tape.constant(symbols), ends), ends);
  const Array counts = sum(before.transitions, {0}).array();
  hmm.baum_welch(symbols, 1, lengths);
  const Array learnt = softmax(tape.constant(hmm.parameter("transition").value())).array();
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 3; ++j) {
      const double row = counts.at({i, 0}) + counts.at({i, 1}) + counts.at({i, 2});
      CHECK(learnt.at({i, j}) == doctest::Approx(counts.at({i, j}) / row).epsilon(1e-12));
    }
  const auto rises = [](const std::vector<double>& l) {
    for (std::size_t i = 1; i < l.size(); ++i) CHECK(l[i] >= l[i - 1] - 1e-9);
    return l.back() - l.front();
  };
  CHECK(rises(hmm.baum_welch(symbols, 30, lengths)) > 0);
  // Two clusters in time: the means are found.
  Rng rng(11);
  Array x({300, 1, 1}, DType::f64);
  for (Index t = 0; t < 300; ++t) x.set({t, 0, 0}, (t / 25 % 2 == 0 ? -2 : 3) + 0.5 * rng.normal());
  GaussianHmm two(full({2}, 0.5), full({2, 2}, 0.5), Array({-0.5, 0.5}, {2, 1}), full({2, 1}, 4));
  CHECK(rises(two.baum_welch(x, 25)) > 100);
  CHECK(two.parameter("mean").value().at({0, 0}) == doctest::Approx(-2).epsilon(0.1));
  CHECK(two.parameter("mean").value().at({1, 0}) == doctest::Approx(3).epsilon(0.1));
}

TEST_CASE("what a hidden Markov model refuses") {
  const Array wrong({0.5, 0.4, 0.1, 0.0, 0.3, 0.7, 0.2, 0.2, 0.5}, {3, 3});
  CHECK_THROWS_WITH_AS(DiscreteHmm(start, wrong, emission),
                       "hmm: row 2 of the transition matrix sums to 0.9: each row must sum to 1", Error);
  CHECK_THROWS_WITH_AS(DiscreteHmm(Array({0.6, 0.6, -0.2}, {3}), transition, emission),
                       "hmm: start 2 in row 0: -0.2 is no probability", Error);
  CHECK_THROWS_WITH_AS(DiscreteHmm(start, emission.reshaped({9}), emission),
                       "hmm: the transition matrix is (9): it must be (3, 3)", Error);
  CHECK_THROWS_WITH_AS(GaussianHmm(start, transition, zeros(3, 1), zeros(3, 1)),
                       "hmm: a variance is 0: it must be above 0 and finite", Error);
  CHECK_THROWS_WITH_AS(GaussianHmm(start, transition, zeros(3, 1), full({3, 1}, INFINITY)),
                       "hmm: a variance is inf: it must be above 0 and finite", Error);
  CHECK_THROWS_WITH_AS(GaussianHmm(start, transition, full({3, 1}, NAN), full({3, 1}, 1)),
                       "hmm: a mean is nan: it must be finite", Error);
  Tape tape;
  Array outside = symbols;
  outside.set({3, 1}, 7);
  CHECK_THROWS_WITH_AS(model().log_likelihood(tape.constant(outside)),
                       "[hmm] observation 7 at step 3 of sequence 1 is outside the alphabet of 3 symbols", Error);
  outside.set({3, 1}, -1);
  CHECK_THROWS_WITH_AS(model().log_likelihood(tape.constant(outside)),
                       "[hmm] observation -1 at step 3 of sequence 1 is outside the alphabet of 3 symbols", Error);
  CHECK_NOTHROW(model().log_likelihood(tape.constant(outside), tape.constant(lengths)));  // it is padding
  auto plan = compile([&](Tape&, Tensor x) { return model().log_likelihood(x); }, symbols);
  plan(symbols);
  CHECK_THROWS_WITH_AS(plan(outside), "[lookup] index -1 at position 7 of (6, 2) is outside [0, 3)", Error);
  CHECK_THROWS_WITH_AS(model().log_likelihood(tape.constant(zeros(3, 2))),
                       "[hmm] observations are indices i32 [T, N], not f32 (3, 2)", Error);
  const HmmScores odd{tape.constant(0, Shape{3}), tape.constant(0, Shape{2, 2}), tape.constant(0, Shape{4, 1, 3})};
  CHECK_THROWS_WITH_AS(hmm_log_likelihood(odd),
                       "[hmm] start (3), transition (2, 2) and emission (4, 1, 3) do not fit: they are [S], [S, S] and "
                       "[T, N, S], of one step or more, in hmm",
                       Error);
  DiscreteHmm stuck(Array({1.0, 0.0}, {2}), identity(2), identity(2));
  CHECK_THROWS_WITH_AS(stuck.baum_welch(Array({0, 1}, {2, 1}), 1),
                       "hmm: the sequences' log-likelihood is -inf: this model cannot make them", Error);
}
