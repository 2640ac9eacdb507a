#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// What a GRU in continuous time has beside CellOptions.
struct GruOdeOptions {
  /// The solver, of fixed steps: Euler's, or Runge and Kutta's of fourth order.
  enum class Solver { euler, runge_kutta };
  Solver solver = Solver::runge_kutta;
  /// Its steps in a unit of time, that is in a step of the cell.
  int steps = 2;
};

/// A GRU in continuous time (De Brouwer, Simm, Arany and Moreau, 2019): the state moves from t to t + 1, while the
/// input stays, by
///
///     r = sigmoid(x Wr + h Rr + br), z = sigmoid(x Wz + h Rz + bz)
///     n = tanh(x Wn + (r * h) Rn + bn)
///     dh/dt = (1 - z) * (n - h)
///
/// so that one of Euler's steps of length 1 is a GRU's (Cho et al., 2014). W = [Wr Wz Wn] side by side, and R and b
/// alike; with two biases br is added where R is used.
class GruOdeCell : public GatedCell, public Advancing<GruOdeCell> {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  struct Gates {
    static constexpr std::array<std::string_view, 0> names{};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1 and for less than one step.
  GruOdeCell(Index in, Index hidden, Rng& rng, const GruOdeOptions& own = {}, const CellOptions& shared = {});
  /// The same with the default GruOdeOptions.
  GruOdeCell(Index in, Index hidden, Rng& rng, const CellOptions& shared) : GruOdeCell(in, hidden, rng, {}, shared) {}

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  /// One unit of time, from the projected input; the flow begins at h, and its first slope sees `seen`.
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const GruOdeOptions& options() const { return options_; }
  GruOdeCell clone() const;

 private:
  Tensor slope(Tensor xw, Tensor h, Tensor seen) const;

  GruOdeOptions options_;
};

static_assert(ProjectedCell<GruOdeCell> && CellWithGates<GruOdeCell>);

}  // namespace rw
