#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// What a simple recurrent network has beside CellOptions.
struct RnnOptions {
  /// What squashes the sum.
  enum class Activation { tanh, relu };
  Activation activation = Activation::tanh;
};

/// Simple recurrent network (Elman, 1990):
///
///     h(t) = tanh(x W + h(t-1) R + b)
///
/// or relu in place of tanh, best with R starting as the identity (`RnnCell::irnn`). With two biases br is added to
/// h R. There are no gates.
class RnnCell : public GatedCell, public Advancing<RnnCell> {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  struct Gates {
    static constexpr std::array<std::string_view, 0> names{};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1.
  RnnCell(Index in, Index hidden, Rng& rng, const RnnOptions& own = {}, const CellOptions& shared = {});
  /// The same with the default RnnOptions.
  RnnCell(Index in, Index hidden, Rng& rng, const CellOptions& shared) : RnnCell(in, hidden, rng, {}, shared) {}
  /// relu and recurrent weights that start as the identity times `scale`, the others near 0 (Le, Jaitly and Hinton,
  /// 2015), whatever `shared` says of these two.
  static RnnCell irnn(Index in, Index hidden, Rng& rng, double scale = 1, CellOptions shared = {});

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  /// One step from the projected input; the products see `seen` in the place of h.
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const RnnOptions& options() const { return options_; }
  RnnCell clone() const;

 private:
  RnnOptions options_;
};

static_assert(ProjectedCell<RnnCell> && CellWithGates<RnnCell>);

}  // namespace rw
