#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/classic/hmm.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

void check_scores(const HmmScores& s) {
  const Shape e = s.emission.shape();
  const Index n = e.cols();
  if (e.rank() != 3 || e[0] < 1 || s.start.shape() != Shape{n} || s.transition.shape() != Shape({n, n}))
    throw s.emission.tape().error(
        "hmm",
        fmt::format("start {}, transition {} and emission {} do not fit: they are [S], [S, S] and [T, N, S], of one "
                    "step or more",
                    s.start.shape().str(), s.transition.shape().str(), e.str()));
}

/// Which steps belong to which sequence: nothing when all do.
class Steps {
 public:
  Steps(const HmmScores& s, const std::optional<Tensor>& lengths) {
    if (lengths) mask_ = sequence_mask(*lengths, s.emission.size(0), 3);  // [T, N, 1]
  }
  /// `after` where step t is there, `before` in the padding.
  Tensor carried(Index t, Tensor after, Tensor before) const {
    return mask_.valid() ? where(select(mask_, 0, t), after, before) : after;
  }

 private:
  Tensor mask_;
};

/// Log scores of being in each state after each step, [N, S]; `over` joins the ways to get there: all scores of states
/// before (axis 1) and after (axis 2), [N, S, S], to [N, S].
template <class Join>
std::vector<Tensor> forward(const HmmScores& s, const Steps& steps, Join&& over) {
  check_scores(s);
  const Index batch = s.emission.size(1), n = s.emission.size(2);
  const Tensor begin = broadcast_to(s.start, {batch, n});
  std::vector<Tensor> alpha{steps.carried(0, begin + select(s.emission, 0, 0), begin)};
  for (Index t = 1; t < s.emission.size(0); ++t) {
    const Scope scope(s.emission.tape(), "t", t);
    const Tensor ways = reshape(alpha.back(), Shape{batch, n, 1}) + s.transition;
    alpha.push_back(steps.carried(t, over(ways) + select(s.emission, 0, t), alpha.back()));
  }
  return alpha;
}

std::vector<Tensor> forward_sums(const HmmScores& s, const Steps& steps) {
  return forward(s, steps, [](Tensor ways) { return logsumexp(ways, 1); });
}

}  // namespace

Tensor hmm_log_likelihood(const HmmScores& s, std::optional<Tensor> lengths) {
  const Scope scope(s.emission.tape(), "hmm");
  return logsumexp(forward_sums(s, Steps(s, lengths)).back(), 1);
}

Tensor hmm_best_score(const HmmScores& s, std::optional<Tensor> lengths) {
  const Scope scope(s.emission.tape(), "hmm");
  return max(forward(s, Steps(s, lengths), [](Tensor ways) { return max(ways, {1}); }).back(), {1});
}

HmmPosterior hmm_posterior(const HmmScores& s, std::optional<Tensor> lengths) {
  const Scope scope(s.emission.tape(), "hmm");
  const Steps steps(s, lengths);
  const std::vector<Tensor> alpha = forward_sums(s, steps);
  const Index T = s.emission.size(0), batch = s.emission.size(1), n = s.emission.size(2);
  Tape& tape = s.emission.tape();
  const Tensor nothing = tape.constant(0, Shape{batch, n}), none = tape.constant(0, Shape{batch, n * n});
  const Tensor all = logsumexp(alpha.back(), 1, true);  // [N, 1]
  std::vector<Tensor> states(static_cast<std::size_t>(T));
  Tensor beta = nothing, transitions = none;
  for (Index t = T - 1; t >= 0; --t) {
    const Scope step(tape, "t", t);
    const Tensor& before = alpha[static_cast<std::size_t>(t)];
    states[static_cast<std::size_t>(t)] = steps.carried(t, exp(before + beta - all), nothing);
    if (t == 0) break;
    // What follows a transition into each state at step t.
    const Tensor after = reshape(select(s.emission, 0, t) + beta, Shape{batch, 1, n}) + s.transition;
    const Tensor& from = alpha[static_cast<std::size_t>(t - 1)];
    const Tensor counts = exp(reshape(from, Shape{batch, n, 1}) + after - reshape(all, Shape{batch, 1, 1}));
    transitions = transitions + steps.carried(t, reshape(counts, Shape{batch, n * n}), none);
    beta = steps.carried(t, logsumexp(after, 2), beta);
  }
  return {reshape(all, Shape{batch}), stack(states), reshape(transitions, Shape{batch, n, n})};
}

namespace {

using detail::at;

/// One sequence of a batch, in plain numbers.
class Search {
 public:
  Search(const HmmScores& s)
      : start_(s.start.array().to_vector<double>()),
        transition_(s.transition.array().to_vector<double>()),
        emission_(s.emission.array().to_vector<double>()),
        batch_(s.emission.size(1)),
        n_(s.emission.size(2)) {}

  /// Writes the path of `length` steps of sequence b, and gives its score.
  double best(Index b, Index length, Array& path) const {
    std::vector<double> score = start_;
    std::vector<std::vector<std::int32_t>> from;
    for (Index t = 0; t < length; ++t) {
      if (t > 0) advance(score, from);
      for (Index j = 0; j < n_; ++j) score[at(j)] += emission_[at((t * batch_ + b) * n_ + j)];
    }
    auto state = static_cast<std::int32_t>(std::max_element(score.begin(), score.end()) - score.begin());
    const double result = score[at(state)];
    for (Index t = length - 1; t >= 0; --t) {
      path.span<std::int32_t>()[at(t * batch_ + b)] = state;
      if (t > 0) state = from[at(t - 1)][at(state)];
    }
    return result;
  }

 private:
  void advance(std::vector<double>& score, std::vector<std::vector<std::int32_t>>& from) const {
    std::vector<double> next(at(n_));
    std::vector<std::int32_t> best(at(n_));
    for (Index j = 0; j < n_; ++j) {
      const auto way = [&](Index i) { return score[at(i)] + transition_[at(i * n_ + j)]; };
      for (Index i = 1; i < n_; ++i)
        if (way(i) > way(best[at(j)])) best[at(j)] = static_cast<std::int32_t>(i);
      next[at(j)] = way(best[at(j)]);
    }
    score = std::move(next);
    from.push_back(std::move(best));
  }

  std::vector<double> start_, transition_, emission_;
  Index batch_, n_;
};

}  // namespace

ViterbiPath viterbi(const HmmScores& s, std::optional<Tensor> lengths) {
  check_scores(s);
  const Steps checked(s, lengths);  // throws for lengths outside
  const Index T = s.emission.size(0), batch = s.emission.size(1);
  const Array each = lengths ? lengths->array() : full({batch}, static_cast<double>(T), DType::i32);
  ViterbiPath path{Array({T, batch}, DType::i32), Array({batch}, DType::f64)};
  const Search search(s);
  for (Index b = 0; b < batch; ++b)
    path.scores.set({b}, search.best(b, each.span<std::int32_t>()[static_cast<std::size_t>(b)], path.states));
  return path;
}

}  // namespace rw
