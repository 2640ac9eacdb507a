#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// What a Jordan network has beside CellOptions.
struct JordanOptions {
  /// What y is squashed with.
  enum class Output { identity, tanh, sigmoid };
  Output output = Output::identity;
};

/// Jordan network (Jordan, 1986), which feeds its output back, without decay of the fed-back units:
///
///     h(t) = tanh(x(t) W + y(t-1) R + b)              hidden layer, [N, H]
///     y(t) = s(h(t) V + d)                            output, [N, out]; s: see JordanOptions::Output
///
/// The state, and the cell's output, is y. Parameters W [in, H], R [out, H], b [H], V [H, out], d [out]; no b and d
/// with Bias::none, and with two biases br is added to y R.
class JordanCell : public GatedCell, public Advancing<JordanCell> {
 public:
  struct State {
    Tensor y;  // [N, out]
  };
  struct Gates {
    Tensor h;  // [N, H]
    static constexpr std::array<std::string_view, 1> names{"h"};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1.
  JordanCell(Index in, Index hidden, Index out, Rng& rng, const JordanOptions& own = {},
             const CellOptions& shared = {});
  /// The same with the default JordanOptions.
  JordanCell(Index in, Index hidden, Index out, Rng& rng, const CellOptions& shared)
      : JordanCell(in, hidden, out, rng, {}, shared) {}

  /// Width of the output.
  Index out() const { return V_.shape()[1]; }

  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0.0, {batch, out()})}; }
  Tensor output(const State& s) const { return s.y; }
  /// One step from the projected input; the products see `seen` in the place of y(t-1).
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const JordanOptions& options() const { return options_; }
  JordanCell clone() const;

 private:
  JordanOptions options_;
  Parameter& V_;
  Parameter* d_;
};

static_assert(ProjectedCell<JordanCell> && CellWithGates<JordanCell>);

}  // namespace rw
