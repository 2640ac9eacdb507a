#pragma once

#include <rewind/models/cell.h>

namespace rw {

struct LstmOptions {
  // See CellOptions.
  Bias bias = Bias::one;
  Init weights = Init::glorot();
  Init recurrent = Init::orthogonal();
  Init biases = Init::constant(0);
  /// Start of the forget gate's bias (Gers, Schmidhuber and Cummins, 2000; 1 as Jozefowicz et al., 2015, advise).
  double forget_bias = 1;
};

/// Long short-term memory with forget gate (Hochreiter and Schmidhuber, 1997; Gers, Schmidhuber and Cummins, 2000):
///
///     i = sigmoid(x Wi + h(t-1) Ri + bi)              input gate
///     f = sigmoid(x Wf + h(t-1) Rf + bf)              forget gate
///     g = tanh   (x Wg + h(t-1) Rg + bg)              candidate
///     o = sigmoid(x Wo + h(t-1) Ro + bo)              output gate
///     c(t) = f * c(t-1) + i * g
///     h(t) = o * tanh(c(t))
///
/// W = [Wi Wf Wg Wo] side by side, and R and b alike: the gate order of PyTorch and cuDNN.
class LstmCell : public GatedCell {
 public:
  struct State {
    Tensor h, c;  // [N, H]
  };

  /// Throws Error for sizes below 1.
  LstmCell(Index in, Index hidden, Rng& rng, const LstmOptions& options = {});

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch), zeros(tape, batch)}; }
  /// x [N, in], or indices [N], each standing for a one-hot row.
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;

  const LstmOptions& options() const { return options_; }
  LstmCell clone() const;

 private:
  LstmOptions options_;
};

static_assert(ProjectedCell<LstmCell>);

}  // namespace rw
