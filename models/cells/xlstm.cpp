#include <cmath>

#include <rewind/models/cells/xlstm.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// The gates of which a and l are the logarithms, relative to exp(largest).
struct Stabilised {
  Tensor i, f, m;
  Stabilised(Tensor a, Tensor l, Tensor before, Tensor largest) : m(largest) {
    i = exp(a - m);
    f = exp(l + before - m);
  }
};

}  // namespace

SlstmCell::SlstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : GatedCell("slstm", {.in = in, .hidden = hidden, .gates = 4, .fed_back = hidden}, rng, options) {}

SlstmCell::State SlstmCell::zero_state(Tape& tape, Index batch) const {
  // Nothing was written yet, and the logarithm of 0 is far below that of any gate: so the first m is a, and n is 1.
  return {zeros(tape, batch), zeros(tape, batch), zeros(tape, batch), tape.constant(-1e4, {batch, hidden_})};
}

SlstmCell::Step SlstmCell::advance(Tensor xw, const State& s, Tensor seen) const {
  const auto [ai, af, az, ao] = split<4>(xw + recur(seen));
  const Tensor l = log_sigmoid(af);
  const auto [i, f, m] = Stabilised(ai, l, s.m, maximum(l + s.m, ai));
  const Tensor z = tanh(az), o = sigmoid(ao), c = f * s.c + i * z, n = f * s.n + i;
  return {{o * (c / n), c, n, m}, {i, f, z, o}};
}

SlstmCell SlstmCell::clone() const {
  Rng unused(0);
  return cloned(SlstmCell(in_, hidden_, unused, shared_), *this);
}

MlstmCell::MlstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("mlstm", in, hidden, 4, rng, options),
      w_(param("w", options.weights(rng, in, 2))),
      bw_(options.bias == Bias::none ? nullptr : &param("bw", options.biases(rng, 1, 2).reshaped({2}))) {}

MlstmCell::State MlstmCell::zero_state(Tape& tape, Index batch) const {
  return {zeros(tape, batch), tape.constant(0.0, {batch, hidden_, hidden_}), zeros(tape, batch),
          tape.constant(0.0, {batch, 1})};
}

Tensor MlstmCell::project(Tensor x) const {
  const Tensor vectors = InputGatedCell::project(x);
  const Tensor gates = x.dtype() == DType::i32 ? lookup(w_, x) : matmul(x, w_);
  return concat({vectors, bw_ != nullptr ? gates + *bw_ : gates}, -1);
}

MlstmCell::State MlstmCell::step_projected(Tensor xw, const State& s) const {
  const Index H = hidden_, N = xw.size(0);
  const auto [q, key, v, ao] = split<4>(slice(xw, -1, 0, 4 * H));
  const Tensor a = slice(xw, -1, 4 * H, 1), l = log_sigmoid(slice(xw, -1, 4 * H + 1, 1));  // [N, 1]
  // Not below 0: what is read is divided by 1 at least, so small gates need no help, and exp(-m) cannot overflow.
  const auto [i, f, m] = Stabilised(a, l, s.m, relu(maximum(l + s.m, a)));
  const Tensor k = key / std::sqrt(static_cast<double>(H)), written = i * k;
  const Tensor C = reshape(f, Shape{N, 1, 1}) * s.C + reshape(v, Shape{N, H, 1}) * reshape(written, Shape{N, 1, H});
  const Tensor n = f * s.n + written;
  const Tensor read = reshape(matmul(C, reshape(q, Shape{N, H, 1})), Shape{N, H});
  return {sigmoid(ao) * read / maximum(abs(sum(n * q, {-1}, true)), exp(-m)), C, n, m};
}

MlstmCell MlstmCell::clone() const {
  Rng unused(0);
  return cloned(MlstmCell(in_, hidden_, unused, options_), *this);
}

}  // namespace rw
