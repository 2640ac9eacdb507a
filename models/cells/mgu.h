#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// Minimal gated unit (Zhou, Wu, Zhang and Zhou, 2016), one gate that both forgets and writes:
///
///     f = sigmoid(x Wf + h(t-1) Rf + bf)                      forget gate
///     n = tanh(x Wn + (f * h(t-1)) Rn + bn)                   candidate
///     h(t) = (1 - f) * h(t-1) + f * n
///
/// W = [Wf Wn] side by side, and R and b alike; two recurrent products a step. With two biases br is added where R is
/// used.
class MguCell : public GatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  struct Gates {
    Tensor f, n;  // [N, H]
    static constexpr std::array<std::string_view, 2> names{"f", "n"};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1.
  MguCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  /// x [N, in], or indices [N], each standing for a one-hot row.
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const { return step_gates(xw, s).state; }
  Step step_gates(Tensor xw, const State& s) const { return step_gates(xw, s, s.h); }
  /// The same, `seen` in the place of h in the products with R.
  Step step_gates(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with.
  const CellOptions& options() const { return options_; }
  MguCell clone() const;

 private:
  CellOptions options_;
};

static_assert(ProjectedCell<MguCell> && CellWithGates<MguCell>);

}  // namespace rw
