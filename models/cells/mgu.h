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
class MguCell : public GatedCell, public Advancing<MguCell> {
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
  /// One step from the projected input; the products see `seen` in the place of h.
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with.
  const CellOptions& options() const { return shared_; }
  MguCell clone() const;
};

static_assert(ProjectedCell<MguCell> && CellWithGates<MguCell>);

}  // namespace rw
