#pragma once

#include <rewind/models/cell.h>

namespace rw {

struct RnnOptions {
  // See CellOptions.
  Bias bias = Bias::one;
  Init weights = Init::glorot();
  Init recurrent = Init::orthogonal();
  Init biases = Init::constant(0);
  enum class Activation { tanh, relu };
  Activation activation = Activation::tanh;
};

/// Simple recurrent network (Elman, 1990):
///
///     h(t) = tanh(x W + h(t-1) R + b)
///
/// or relu in place of tanh, best with R starting as the identity (Le, Jaitly and Hinton, 2015): `{.recurrent =
/// Init::identity()}`. With two biases br is added to h R.
class RnnCell : public GatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
  };

  /// Throws Error for sizes below 1.
  RnnCell(Index in, Index hidden, Rng& rng, const RnnOptions& options = {});

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  /// x [N, in], or indices [N], each standing for a one-hot row.
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;

  const RnnOptions& options() const { return options_; }
  RnnCell clone() const;

 private:
  RnnOptions options_;
};

static_assert(ProjectedCell<RnnCell>);

}  // namespace rw
