#pragma once

#include <rewind/models/cells/cell.h>
#include <rewind/models/layers/layer_norm.h>

namespace rw {

/// What fast weights have beside CellOptions.
struct FastWeightsOptions {
  /// How much of the fast weights is left after a step, and how strongly a state is written into them.
  double decay = 0.95, rate = 0.5;
  /// How often a step attends to what was written.
  int rounds = 1;
};

/// Fast weights (Ba, Hinton, Mnih, Leibo and Ionescu, 2016): beside the slow matrix R a fast one, A, remembers the
/// recent states as a sum of their outer products, and a step is drawn towards them,
///
///     A(t) = decay A(t-1) + rate h(t-1) h(t-1)'
///     u = x W + h(t-1) R + b
///     g = tanh(LN(u)), then `rounds` times g = tanh(LN(u + g A(t)))
///     h(t) = g
///
/// LN is layer normalisation, with gain and shift (norm.gain, norm.shift).
class FastWeightsCell : public GatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
    Tensor A;  // [N, H, H]
  };
  /// R starts as the identity times 0.05, when nothing is said. Throws Error for sizes below 1, a hidden size of 1, and
  /// a negative number of rounds.
  FastWeightsCell(Index in, Index hidden, Rng& rng, const FastWeightsOptions& own = {}, const CellOptions& shared = {});
  /// The same with the default FastWeightsOptions.
  FastWeightsCell(Index in, Index hidden, Rng& rng, const CellOptions& shared)
      : FastWeightsCell(in, hidden, rng, {}, shared) {}

  State zero_state(Tape& tape, Index batch) const;
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const { return step_seeing(xw, s, s.h); }
  State step_seeing(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const FastWeightsOptions& options() const { return options_; }
  FastWeightsCell clone() const;

 private:
  FastWeightsOptions options_;
  LayerNorm& norm_;
};

static_assert(ProjectedCell<FastWeightsCell>);

}  // namespace rw
