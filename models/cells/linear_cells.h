#pragma once

#include <array>

#include <rewind/models/cells/cell.h>

namespace rw {

/// What runs over a whole sequence gives: outputs [T, N, H] and the state after the last step.
template <class State>
struct Scanned {
  Tensor outputs;
  State last;
};

/// What cells whose gates do not see the state are made of: W [in, gates * H] and b [gates * H]. All of a sequence's
/// gates are one product, and what is left is a linear recurrence, which `scan` computes for all steps at once
/// (ops/linear_recurrence.h): few nodes for any number of steps, and values and gradients of `unroll`.
class InputGatedCell : public Module {
 public:
  /// Width of the input.
  Index in() const { return in_; }
  /// Width of the hidden state.
  Index hidden() const { return hidden_; }
  /// x W + b: x [..., in], or indices [...] of i32 -> [..., gates * H].
  Tensor project(Tensor x) const;
  /// What it was made with. `recurrent` has no effect: there is no such matrix, nor a second bias, nor are there heads.
  const CellOptions& options() const { return options_; }

 protected:
  /// The first `biased` of the gates have a bias; 0: all of them. Throws Error for sizes below 1 and for
  /// heads.
  InputGatedCell(const char* name, Index in, Index hidden, Index gates, Rng& rng, const CellOptions& options,
                 Index biased = 0);
  /// A hidden state of zeros.
  Tensor zeros(Tape& tape, Index batch) const { return tape.constant(0.0, {batch, hidden_}); }

  CellOptions options_;
  Index in_, hidden_;
  Parameter& W_;
  Parameter* b_;
};

/// Minimal GRU (Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs all we needed?", 2024): a GRU without a reset
/// gate and without the state in gate and candidate,
///
///     z = sigmoid(x Wz + bz)                      update gate: takes the new state
///     n = x Wn + bn                               candidate
///     h(t) = (1 - z) * h(t-1) + z * n
///
/// W = [Wz Wn] side by side.
class MinGruCell : public InputGatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  /// Throws Error for sizes below 1.
  MinGruCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});
  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  /// All steps of x [T, N, in] at once, T at least 1.
  Scanned<State> scan(Tensor x, const State& s) const;
  MinGruCell clone() const;
};

/// Minimal LSTM (the same paper), with gates that share 1 between them:
///
///     f' = sigmoid(x Wf + bf), i' = sigmoid(x Wi + bi)
///     f = f' / (f' + i'), i = i' / (f' + i')
///     h(t) = f * h(t-1) + i * (x Wn + bn)
///
/// W = [Wf Wi Wn] side by side.
class MinLstmCell : public InputGatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  /// Throws Error for sizes below 1.
  MinLstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});
  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  /// All steps of x [T, N, in] at once, T at least 1.
  Scanned<State> scan(Tensor x, const State& s) const;
  MinLstmCell clone() const;
};

/// Quasi-recurrent network (Bradbury, Merity, Xiong and Socher, 2017) with a convolution over two steps and fo-pooling:
///
///     z = tanh   (x(t) Wz + x(t-1) Vz + bz)
///     f = sigmoid(x(t) Wf + x(t-1) Vf + bf)
///     o = sigmoid(x(t) Wo + x(t-1) Vo + bo)
///     c(t) = f * c(t-1) + (1 - f) * z
///     h(t) = o * c(t)
///
/// W = [Wz Wf Wo Vz Vf Vo] side by side; the state carries x(t-1) V, which is 0 before the first step.
class QrnnCell : public InputGatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
    Tensor c;  // [N, H]
    Tensor v;  // [N, 3H]
  };
  /// Throws Error for sizes below 1.
  QrnnCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});
  State zero_state(Tape& tape, Index batch) const;
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  /// All steps of x [T, N, in] at once, T at least 1.
  Scanned<State> scan(Tensor x, const State& s) const;
  QrnnCell clone() const;
};

/// Simple recurrent unit (Lei, Zhang, Wang, Dai and Artzi, 2018): what is recurrent is elementwise,
///
///     f = sigmoid(x Wf + vf * c(t-1) + bf)
///     r = sigmoid(x Wr + vr * c(t-1) + br)
///     c(t) = f * c(t-1) + (1 - f) * (x Wn + bn)
///     h(t) = r * c(t) + (1 - r) * (x Ws + bs)      the paper's skip, with a matrix, for any width of x
///
/// W = [Wf Wr Wn Ws] side by side. The gates see the memory, so there is no scan.
class SruCell : public InputGatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
    Tensor c;  // [N, H]
  };
  /// Throws Error for sizes below 1.
  SruCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});
  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch), zeros(tape, batch)}; }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  SruCell clone() const;

 private:
  Parameter &vf_, &vr_;
};

/// Independently recurrent network (Li, Li, Cook, Zhu and Gao, 2018): each element of the state sees itself alone,
///
///     h(t) = relu(x W + u * h(t-1) + b)
///
/// u [H] begins uniform in [0, 1).
class IndRnnCell : public InputGatedCell {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  /// Throws Error for sizes below 1.
  IndRnnCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});
  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch)}; }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  IndRnnCell clone() const;

 private:
  Parameter& u_;
};

/// Linear recurrent unit (Orvieto et al., 2023): a complex diagonal recurrence, here in real numbers,
///
///     lambda = exp(-exp(nu) + i exp(theta)), |lambda| < 1
///     s(t) = lambda * s(t-1) + gamma * (x B)       gamma = sqrt(1 - |lambda|^2)
///     y(t) = Re(s(t)) C1 - Im(s(t)) C2 + x D + b
///
/// Parameters nu, theta [H], with |lambda| in [0.5, 0.99] and angles up to 2 pi at the start; W = [B1 B2 D] side by
/// side, b of which the last third is the paper's; C1, C2 [H, H].
class LruCell : public InputGatedCell {
 public:
  struct State {
    Tensor y;       // [N, H]
    Tensor re, im;  // [N, H]
  };
  /// Throws Error for sizes below 1.
  LruCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});
  State zero_state(Tape& tape, Index batch) const {
    return {zeros(tape, batch), zeros(tape, batch), zeros(tape, batch)};
  }
  Tensor output(const State& s) const { return s.y; }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const;
  /// All steps of x [T, N, in] at once, T at least 1: seen from axes that turn with lambda's angle, the recurrence is
  /// one of real numbers.
  Scanned<State> scan(Tensor x, const State& s) const;
  LruCell clone() const;

 private:
  struct Complex {
    Tensor re, im;
  };
  struct Recurrence {
    Tensor radius, gamma;  // [H]
    Complex turn;          // exp(i angle), [H]
  };
  Recurrence recurrence(Tape& tape) const;
  static Complex turns(Complex turn, Index steps);
  Tensor read(Complex s, Tensor direct) const;

  Parameter &nu_, &theta_, &C1_, &C2_;
};

}  // namespace rw
