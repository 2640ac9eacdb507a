#pragma once

#include <rewind/models/cells/cell.h>
#include <rewind/models/layers/linear.h>

namespace rw {

/// The largest absolute value of an eigenvalue of a square matrix, by Gelfand's formula, |A^k|^(1/k) for k = 2^24.
/// Throws Error for another shape and for what is not finite.
double spectral_radius(const Array& matrix);

struct EchoStateOptions {
  /// Of the reservoir's matrix: below 1 it forgets.
  double spectral_radius = 0.9;
  /// How much of the state is new in a step, in (0, 1].
  double leak = 1;
  /// Half width of the input's weights, and the part of the reservoir's connections that are there.
  double input_scale = 0.5, density = 0.1;
  /// Biases of the reservoir's units, as wide as the input's weights, and of the readout.
  bool bias = true;
};

/// The reservoir of an echo state network (Jaeger, 2001), a large random recurrence that is never trained,
///
///     h(t) = (1 - leak) h(t-1) + leak tanh(x W + h(t-1) R + b)
///
/// W [in, H], R [H, H] and b [H] are buffers: saved with the module, without gradients. h is all of the state.
class EchoStateCell : public Module {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  /// Throws Error for sizes below 1 and for options that are out of range.
  EchoStateCell(Index in, Index hidden, Rng& rng, const EchoStateOptions& options = {});

  State zero_state(Tape& tape, Index batch) const;
  /// x W + b: x [..., in], or indices [...] of i32.
  Tensor project(Tensor x) const;
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const { return step_seeing(xw, s, s.h); }
  State step_seeing(Tensor xw, const State& s, Tensor seen) const;

  /// Width of the input, and of the reservoir.
  Index in() const { return W_.shape()[0]; }
  /// Units of the reservoir.
  Index hidden() const { return W_.shape()[1]; }
  /// What it was made with.
  const EchoStateOptions& options() const { return options_; }
  EchoStateCell clone() const;

 private:
  EchoStateOptions options_;
  Parameter &W_, &R_;
  Parameter* b_;
};

static_assert(ProjectedCell<EchoStateCell>);

/// Echo state network: a reservoir and a linear readout, which ridge regression (Hoerl and Kennard, 1970) finds in one
/// step. It is a cell, too, whose output is the readout's; by gradient the readout learns alone.
class EchoStateNetwork : public Module {
 public:
  using State = EchoStateCell::State;
  /// Throws Error as its parts do.
  EchoStateNetwork(Index in, Index hidden, Index out, Rng& rng, const EchoStateOptions& options = {});

  /// x [T, N, in] -> [T, N, out].
  Tensor operator()(Tensor x) const;
  State zero_state(Tape& tape, Index batch) const { return reservoir_.zero_state(tape, batch); }
  Tensor project(Tensor x) const { return reservoir_.project(x); }
  State step(Tensor x, const State& s) const { return reservoir_.step(x, s); }
  State step_projected(Tensor xw, const State& s) const { return reservoir_.step_projected(xw, s); }
  State step_seeing(Tensor xw, const State& s, Tensor seen) const { return reservoir_.step_seeing(xw, s, seen); }
  Tensor output(const State& s) const { return readout_(s.h); }

  /// The readout of least squared errors + ridge times its squares, for x [T, N, in] and targets [T, N, out], without
  /// the first `washout` steps, in which the reservoir forgets its start. Throws Error for shapes that do not fit, for
  /// a washout that leaves nothing, for numbers that are not finite, and for fewer equations than unknowns without a
  /// ridge.
  void fit(const Array& x, const Array& targets, Index washout = 0, double ridge = 1e-6);

  /// The cell, which does not learn.
  const EchoStateCell& reservoir() const { return reservoir_; }
  /// The layer that learns.
  const Linear& readout() const { return readout_; }
  EchoStateNetwork clone() const;

 private:
  EchoStateCell& reservoir_;
  Linear& readout_;
};

static_assert(ProjectedCell<EchoStateNetwork>);

}  // namespace rw
