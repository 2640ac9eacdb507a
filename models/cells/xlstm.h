#pragma once

#include <array>

#include <rewind/models/cells/cell.h>
#include <rewind/models/cells/linear_cells.h>

namespace rw {

/// sLSTM (Beck et al., "xLSTM: Extended long short-term memory", 2024): an LSTM with an exponential input gate, a
/// normaliser n beside the memory c, and a stabiliser m, the largest logarithm so far, which keeps the gates from
/// overflowing and cancels in c / n:
///
///     z = tanh(x Wz + h(t-1) Rz + bz), o = sigmoid(x Wo + h(t-1) Ro + bo)
///     a = x Wi + h(t-1) Ri + bi                       logarithm of the input gate
///     l = log(sigmoid(x Wf + h(t-1) Rf + bf))         of the forget gate
///     m(t) = max(l + m(t-1), a)
///     i = exp(a - m(t)), f = exp(l + m(t-1) - m(t))
///     c(t) = f * c(t-1) + i * z
///     n(t) = f * n(t-1) + i
///     h(t) = o * c(t) / n(t)
///
/// W = [Wi Wf Wz Wo] side by side, and R and b alike. m begins far below any gate's logarithm, at -10000, so that the
/// first step writes with n = 1 whatever its gates are.
class SlstmCell : public GatedCell, public Advancing<SlstmCell> {
 public:
  struct State {
    Tensor h, c, n, m;  // [N, H]
  };
  struct Gates {
    Tensor i, f, z, o;  // [N, H]; i and f as the stabiliser leaves them
    static constexpr std::array<std::string_view, 4> names{"i", "f", "z", "o"};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1.
  SlstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});

  State zero_state(Tape& tape, Index batch) const;
  /// One step from the projected input; the products see `seen` in the place of h.
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with.
  const CellOptions& options() const { return shared_; }
  SlstmCell clone() const;
};

static_assert(ProjectedCell<SlstmCell> && CellWithGates<SlstmCell>);

/// mLSTM of one head (the same paper): a matrix memory C that is written with keys and values and read with a query,
/// with gates that are one number each,
///
///     q = x Wq + bq, k = (x Wk + bk) / sqrt(H), v = x Wv + bv, o = sigmoid(x Wo + bo)
///     a = x wi + bi, l = log(sigmoid(x wf + bf))
///     m(t) = max(l + m(t-1), a, 0), and i and f as in sLSTM
///     C(t) = f C(t-1) + i v k'
///     n(t) = f n(t-1) + i k
///     h(t) = o * (C(t) q) / max(|n(t)' q|, exp(-m(t)))
///
/// W = [Wq Wk Wv Wo] and w = [wi wf]. Nothing but the memory is fed back; a scan would hold all of it, [T, N, H, H].
class MlstmCell : public InputGatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
    Tensor C;  // [N, H, H]
    Tensor n;  // [N, H]
    Tensor m;  // [N, 1]
  };
  /// Throws Error for sizes below 1.
  MlstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});

  State zero_state(Tape& tape, Index batch) const;
  /// [..., 4H + 2].
  Tensor project(Tensor x) const;
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  MlstmCell clone() const;

 private:
  Parameter& w_;
  Parameter* bw_;
};

static_assert(ProjectedCell<MlstmCell>);

}  // namespace rw
