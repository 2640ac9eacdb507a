#include <cmath>

#include <doctest/doctest.h>

#include <rewind/models/layers/attention.h>

#include "../layers.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index S = 3, E = 2;

// softmax of the scores of the first `length` steps, and the sum of the source with these weights.
std::vector<double> expected_weights(std::vector<double> scores, std::size_t length) {
  double total = 0;
  for (std::size_t s = 0; s < scores.size(); ++s) total += scores[s] = s < length ? std::exp(scores[s]) : 0;
  for (double& w : scores) w = total > 0 ? w / total : 0;
  return scores;
}

// score(query row, source row) in plain doubles, beside the module.
template <class A, class Score>
void check_values(const A& attention, Index Q, Score&& score) {
  attention.to(DType::f64);
  Tape tape(DType::f64);
  Array source = randoms({S, N, E}, 1);
  for (Index e = 0; e < E; ++e) source.span<double>()[static_cast<std::size_t>((2 * N + 1) * E + e)] = std::nan("");
  const Array query = randoms({N, Q}, 2), lengths = indices_of({3, 2});
  const auto seen = attention(tape.constant(query), attention.remember(tape.constant(source), tape.constant(lengths)));
  REQUIRE(seen.context.shape() == Shape{N, E});
  REQUIRE(seen.weights.shape() == Shape{N, S});
  for (Index n = 0; n < N; ++n) {
    std::vector<double> scores;
    for (Index s = 0; s < S; ++s) {
      std::vector<double> q, row;
      for (Index i = 0; i < Q; ++i) q.push_back(query.at({n, i}));
      for (Index e = 0; e < E; ++e) row.push_back(source.at({s, n, e}));
      scores.push_back(score(q, row));
    }
    const auto weights = expected_weights(scores, n == 0 ? 3 : 2);
    for (Index s = 0; s < S; ++s)
      CHECK(seen.weights.array().at({n, s}) == doctest::Approx(weights[static_cast<std::size_t>(s)]).epsilon(1e-13));
    for (Index e = 0; e < E; ++e) {
      double sum = 0;
      for (Index s = 0; s < (n == 0 ? 3 : 2); ++s) sum += weights[static_cast<std::size_t>(s)] * source.at({s, n, e});
      CHECK(seen.context.array().at({n, e}) == doctest::Approx(sum).epsilon(1e-13));
    }
  }
}

double number(const Module& m, const char* name, Index i, Index j) { return m.parameter(name).value().at({i, j}); }

// Query and source come from parameters, so that gradients reach both.
template <class A>
struct Net : Module {
  Net(A a, Index Q)
      : attention(child("attention", std::move(a))),
        query(param("query", randoms({3, Q}, 3))),
        source(param("source", randoms({S, 3, E}, 4))) {}
  Tensor operator()(Tape& tape) const {
    const auto memory = attention.remember(tape.leaf(source), tape.constant(indices_of({2, 0, 3})));
    const auto seen = attention(tape.leaf(query), memory);
    return asymmetric(seen.context) + asymmetric(seen.weights, 3);
  }
  A& attention;
  Parameter &query, &source;
};

}  // namespace

TEST_CASE("dot-product attention") {
  check_values(DotAttention(), E, [](const auto& q, const auto& s) { return q[0] * s[0] + q[1] * s[1]; });
  Rng rng(1);
  const DotAttention general(3, E, rng);
  check_values(general, 3, [&](const auto& q, const auto& s) {
    double score = 0;
    for (Index i = 0; i < 3; ++i)
      for (Index e = 0; e < E; ++e)
        score += q[static_cast<std::size_t>(i)] * s[static_cast<std::size_t>(e)] * number(general, "W", e, i);
    return score;
  });
}

TEST_CASE("additive attention") {
  Rng rng(1);
  const AdditiveAttention additive(3, E, 4, rng);
  check_values(additive, 3, [&](const auto& q, const auto& s) {
    double score = 0;
    for (Index k = 0; k < 4; ++k) {
      double sum = 0;
      for (Index i = 0; i < 3; ++i) sum += q[static_cast<std::size_t>(i)] * number(additive, "W", i, k);
      for (Index e = 0; e < E; ++e) sum += s[static_cast<std::size_t>(e)] * number(additive, "U", e, k);
      score += std::tanh(sum) * number(additive, "v", k, 0);
    }
    return score;
  });
}

TEST_CASE("gradients of both orders reach query, source and weights; a source of length 0 is nothing") {
  Rng rng(1);
  const auto check = [&](const auto& net) {
    const Loss loss = [&](Tape& tape) { return net(tape); };
    CHECK(test::first_order_error(net, loss) < 1e-8);
    CHECK(test::second_order_error(net, loss) < 1e-7);
    Tape tape(DType::f64);
    const auto seen = net.attention(
        tape.leaf(net.query), net.attention.remember(tape.leaf(net.source), tape.constant(indices_of({2, 0, 3}))));
    CHECK(sum(square(slice(seen.context, 0, 1, 1))).item() == 0);
    CHECK(sum(square(slice(seen.weights, 0, 1, 1))).item() == 0);
  };
  check(Net<DotAttention>(DotAttention(), E));
  check(Net<DotAttention>(DotAttention(3, E, rng), 3));
  check(Net<AdditiveAttention>(AdditiveAttention(3, E, 2, rng), 3));
}

TEST_CASE("clones look at the same, and without lengths all of the source counts") {
  Rng rng(1);
  Tape tape;
  const Tensor source = tape.constant(randoms({S, N, E}, 1)), query = tape.constant(randoms({N, 3}, 2));
  const auto check = [&](const auto& a) {
    const auto copy = a.clone();
    const auto all = a(query, a.remember(source));
    CHECK(distance(all.context, copy(query, copy.remember(source, tape.constant(indices_of({3, 3})))).context) == 0);
    CHECK(sum(all.weights).item() == doctest::Approx(2));
  };
  check(DotAttention(3, E, rng));
  check(AdditiveAttention(3, E, 2, rng));
  CHECK(DotAttention().clone().parameters().empty());
}

TEST_CASE("what does not fit is named") {
  Tape tape;
  const DotAttention dot;
  const Tensor source = tape.constant(zeros(S, N, E));
  CHECK_THROWS_WITH_AS(dot.remember(tape.constant(zeros(S, N))),
                       "[attention] a source is [S, N, E], not (3, 2), in attention", Error);
  CHECK_THROWS_WITH_AS(dot.remember(tape.constant(zeros(0, N, E))),
                       "[attention] a source of no steps, (0, 2, 2), in attention", Error);
  CHECK_THROWS_WITH_AS(
      dot.remember(source, tape.constant(indices_of({1, 4}))),
      "[clear_padding] the length of sequence 1 is 4: it must be from 0 to 3, the number of steps, in attention",
      Error);
  const auto memory = dot.remember(source);
  CHECK_THROWS_WITH_AS(
      dot(tape.constant(zeros(3, E)), memory),
      "[attention] a query (3, 2) does not fit a source of batch 2: it must be [N, width], in attention", Error);
  CHECK_THROWS_WITH_AS(dot(tape.constant(zeros(N, 3)), memory), doctest::Contains("inner dimensions differ"), Error);
  Rng rng(1);
  CHECK_THROWS_WITH_AS(DotAttention(0, 2, rng), "attention: query size must be at least 1, not 0", Error);
  CHECK_THROWS_AS(AdditiveAttention(2, 2, 0, rng), Error);
}
