#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// What a network with a context bank has beside CellOptions.
struct ContextOptions {
  /// How slowly the context bank changes, in [0, 1): its own share in its next value. 0: it is the hidden layer of the
  /// step before.
  double decay = 0;
};

/// Recurrent network with a context bank that feeds both the hidden and the output layer. The bank k is the hidden
/// layer of the step before (context units as Elman, 1990, has them) or, with a decay, a running mean of all before
/// (as the slow layer of Mikolov et al., 2015):
///
///     h(t) = tanh(x(t) W + k(t-1) R + b)              hidden layer, [N, H]
///     y(t) = h(t) V + k(t-1) U + d                    output, [N, out]
///     k(t) = decay * k(t-1) + (1 - decay) * h(t)      context bank, [N, H]; h(t) itself without decay
///
/// The output y is linear and not fed back. Parameters W [in, H], R [H, H], b [H], V [H, out], U [H, out], d [out]; no
/// b and d with Bias::none, and with two biases br is added to k R.
class ContextCell : public GatedCell, public Advancing<ContextCell> {
 public:
  struct State {
    Tensor k;  // [N, H]
    Tensor y;  // [N, out]
  };
  struct Gates {
    Tensor h;  // [N, H]
    static constexpr std::array<std::string_view, 1> names{"h"};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1 and a decay outside [0, 1).
  ContextCell(Index in, Index hidden, Index out, Rng& rng, const ContextOptions& own = {},
              const CellOptions& shared = {});
  /// The same with the default ContextOptions.
  ContextCell(Index in, Index hidden, Index out, Rng& rng, const CellOptions& shared)
      : ContextCell(in, hidden, out, rng, {}, shared) {}

  /// Width of the output.
  Index out() const { return V_.shape()[1]; }

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch), tape.constant(0.0, {batch, out()})}; }
  Tensor output(const State& s) const { return s.y; }
  /// One step from the projected input; the products see `seen` in the place of k(t-1).
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const ContextOptions& options() const { return options_; }
  ContextCell clone() const;

 private:
  ContextOptions options_;
  Parameter &V_, &U_;
  Parameter* d_;
};

static_assert(ProjectedCell<ContextCell> && CellWithGates<ContextCell>);

}  // namespace rw
