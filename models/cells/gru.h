#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// What a GRU has beside CellOptions.
struct GruOptions {
  /// Where the reset gate acts: after the recurrent product (PyTorch, cuDNN; one recurrent product a step), or before
  /// it (Cho et al., 2014; two products).
  enum class Reset { after, before };
  Reset reset = Reset::after;
  /// What an open update gate does: keep the old state (PyTorch, cuDNN, oneDNN; Cho et al., 2014), or take the new one
  /// (Chung et al., 2014, and many lectures).
  enum class Update { keeps, takes };
  Update update = Update::keeps;
};

/// Gated recurrent unit (Cho et al., 2014):
///
///     r = sigmoid(x Wr + h(t-1) Rr + br)                      reset gate
///     z = sigmoid(x Wz + h(t-1) Rz + bz)                      update gate
///     n = tanh(x Wn + bn + r * (h(t-1) Rn + b'n))             candidate, reset after the product
///     n = tanh(x Wn + bn + (r * h(t-1)) Rn + b'n)             or before it
///     h(t) = (1 - z) * n + z * h(t-1)                         update gate keeps the old state
///     h(t) = z * n + (1 - z) * h(t-1)                         or takes the new one
///
/// The recurrent biases b' exist with `Bias::two`; PyTorch and cuDNN have them. W = [Wr Wz Wn] side by side, and R and
/// the biases alike: the gate order of PyTorch.
class GruCell : public GatedCell, public Advancing<GruCell> {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  struct Gates {
    Tensor r, z, n;  // [N, H]
    static constexpr std::array<std::string_view, 3> names{"r", "z", "n"};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1.
  GruCell(Index in, Index hidden, Rng& rng, const GruOptions& own = {}, const CellOptions& shared = {});
  /// The same with the default GruOptions.
  GruCell(Index in, Index hidden, Rng& rng, const CellOptions& shared) : GruCell(in, hidden, rng, {}, shared) {}

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  /// One step from the projected input; the products see `seen` in the place of h.
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const GruOptions& options() const { return options_; }
  GruCell clone() const;

 private:
  Gates reset_after(Tensor xw, Tensor h) const;
  Gates reset_before(Tensor xw, Tensor h) const;

  GruOptions options_;
};

static_assert(ProjectedCell<GruCell> && CellWithGates<GruCell>);

}  // namespace rw
