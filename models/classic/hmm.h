#pragma once

#include <optional>
#include <vector>

#include <rewind/core/random.h>
#include <rewind/models/module.h>

namespace rw {

// Hidden Markov models (Rabiner, 1989): S states of which each step knows only the one before, seen through what they
// emit. Everything is in log space, where -inf is a legal probability of 0. Batches are padded, x [T, N, ...], and
// `lengths`, i32 [N], say where each sequence ends.

/// Log probabilities: of the first state, [S]; of each state (column) after each (row), [S, S]; and of what was seen
/// at each step in each state, [T, N, S]. The functions below take any scores, also of rows that do not sum to 1: a
/// "likelihood" is then the sum over all paths, as in a conditional random field (Lafferty, McCallum and Pereira,
/// 2001). The models check their probabilities.
struct HmmScores {
  Tensor start, transition, emission;
};

/// log p(x) of each sequence, [N], by the forward algorithm. Its gradient with respect to `emission` is the posterior
/// of the states, to `transition` the expected count of each transition, to `start` that of the first state: Baum and
/// Welch's counts. Throws Error for shapes that do not fit each other and for no steps. A sequence that is impossible
/// has -inf, and a gradient of nan.
Tensor hmm_log_likelihood(const HmmScores& scores, std::optional<Tensor> lengths = std::nullopt);

/// The log probability of each sequence with its likeliest path of states, [N]: the same recursion with the largest in
/// place of the sum. Its gradient with respect to `emission` is 1 along that path (Viterbi's) and 0 elsewhere. Throws
/// Error as hmm_log_likelihood does.
Tensor hmm_best_score(const HmmScores& scores, std::optional<Tensor> lengths = std::nullopt);

/// What is known of the states when all of a sequence has been seen: 0 in the padding.
struct HmmPosterior {
  Tensor log_likelihood;  // [N]
  Tensor states;          // [T, N, S], probabilities
  Tensor transitions;     // [N, S, S], expected counts, from row to column
};

/// By the forward-backward algorithm. A sequence that is impossible has no posterior: nan. Throws Error as
/// hmm_log_likelihood does.
HmmPosterior hmm_posterior(const HmmScores& scores, std::optional<Tensor> lengths = std::nullopt);

struct ViterbiPath {
  Array states;  // i32 [T, N]; 0 in the padding
  Array scores;  // f64 [N]
};

/// The likeliest path of each sequence (Viterbi, 1967), of equal ones that of the lower states; of an impossible
/// sequence any. It reads values: not while `compile` traces. Throws Error as hmm_log_likelihood does.
ViterbiPath viterbi(const HmmScores& scores, std::optional<Tensor> lengths = std::nullopt);

/// What hidden Markov models share. Parameters `start` [S] and `transition` [S, S] are log probabilities up to a
/// constant for each row, which log_softmax takes off, so that any optimizer keeps them probabilities.
class HiddenMarkovModel : public Module {
 public:
  /// Log probabilities of x [T, N, ...] in each state, [T, N, S].
  virtual Tensor emission(Tensor x) const = 0;
  /// All that the functions above take.
  HmmScores scores(Tensor x, std::optional<Tensor> lengths = std::nullopt) const;
  /// log p(x), [N].
  Tensor log_likelihood(Tensor x, std::optional<Tensor> lengths = std::nullopt) const {
    return hmm_log_likelihood(scores(x, lengths), lengths);
  }

  /// Number of states.
  Index states() const { return start_.shape()[0]; }

  /// Rounds of Baum and Welch's re-estimation (expectation maximisation; Baum et al., 1970) over one batch: gives the
  /// log-likelihood of all sequences before each round, which never falls. A state that nothing came from stays as it
  /// is. Throws Error for less than one round, and for a batch that is impossible.
  std::vector<double> baum_welch(const Array& x, int rounds, const std::optional<Array>& lengths = std::nullopt);

 protected:
  /// Probabilities. Throws Error for shapes that do not fit and rows that do not sum to 1, saying which.
  HiddenMarkovModel(const char* name, const Array& start, const Array& transition);
  /// The emissions that are likeliest for x, if the states were these: posterior [T, N, S], f64, 0 in the padding.
  virtual void refit(const Array& x, const Array& posterior) = 0;

 private:
  Parameter &start_, &transition_;
};

/// Each state emits one of M symbols. Parameter `emission` [S, M], log probabilities up to a constant for each row. x
/// is i32 [T, N]; outside the alphabet it is an Error that says where.
class DiscreteHmm : public HiddenMarkovModel {
 public:
  /// Probabilities: start [S], transition [S, S], emission [S, M]. Throws Error for rows that do not sum to 1.
  DiscreteHmm(const Array& start, const Array& transition, const Array& emission);
  /// Random ones, all possible. Throws Error for sizes below 1.
  DiscreteHmm(Index states, Index symbols, Rng& rng);

  Tensor emission(Tensor x) const override;
  /// Size of the alphabet.
  Index symbols() const { return emission_.shape()[1]; }
  DiscreteHmm clone() const;

 protected:
  void refit(const Array& x, const Array& posterior) override;

 private:
  Parameter& emission_;
};

/// Each state emits D numbers, normal and independent of each other. Parameters `mean` [S, D] and `log_variance` [S,
/// D]. x is [T, N, D].
class GaussianHmm : public HiddenMarkovModel {
 public:
  /// Probabilities start [S], transition [S, S]; mean and variance [S, D]. Throws Error for rows that do not sum to 1,
  /// for a variance that is not above 0, and for what is not finite.
  GaussianHmm(const Array& start, const Array& transition, const Array& mean, const Array& variance);

  Tensor emission(Tensor x) const override;
  /// Numbers at a time.
  Index features() const { return mean_.shape()[1]; }
  GaussianHmm clone() const;

 protected:
  /// Variances stay at 1e-6 or more.
  void refit(const Array& x, const Array& posterior) override;

 private:
  Parameter &mean_, &log_variance_;
};

}  // namespace rw
