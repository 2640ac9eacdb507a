#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/models/classic/echo_state.h>
#include <rewind/models/classic/ridge.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>

namespace rw {
namespace {

const EchoStateOptions& checked(const EchoStateOptions& o) {
  const auto refuse = [](const char* what, double value, const char* range) {
    throw Error(fmt::format("echo state: {} is {}: it must be {}", what, value, range));
  };
  if (!(o.spectral_radius >= 0) || !std::isfinite(o.spectral_radius))
    refuse("the spectral radius", o.spectral_radius, "0 or more");
  if (!(o.leak > 0 && o.leak <= 1)) refuse("leak", o.leak, "in (0, 1]");
  if (!(o.density > 0 && o.density <= 1)) refuse("density", o.density, "in (0, 1]");
  if (!(o.input_scale >= 0) || !std::isfinite(o.input_scale)) refuse("input_scale", o.input_scale, "0 or more");
  return o;
}

/// Sparse, uniform, and scaled to the radius; as it is where its own radius is 0.
Array reservoir(Index hidden, Rng& rng, const EchoStateOptions& o) {
  Array R({hidden, hidden});
  for (float& r : R.span<float>()) r = rng.uniform() < o.density ? static_cast<float>(rng.uniform(-1, 1)) : 0.0f;
  const double radius = spectral_radius(R);
  if (radius > 0)
    for (float& r : R.span<float>()) r *= static_cast<float>(o.spectral_radius / radius);
  return R;
}

}  // namespace

double spectral_radius(const Array& matrix) {
  const Shape s = matrix.shape();
  if (s.rank() != 2 || s[0] != s[1]) throw Error("spectral_radius: needs a square matrix, not " + s.str());
  Array a = matrix.to(DType::f64), squared = a;
  double log_norm = 0, power = 1;  // A^power = exp(power log_norm) a
  for (int i = 0; i <= 24; ++i) {
    double norm = 0;
    for (const double x : a.span<double>()) norm += x * x;
    norm = std::sqrt(norm);
    if (!std::isfinite(norm)) throw Error("spectral_radius: the matrix is not finite");
    if (norm == 0) return 0;
    for (double& x : a.span<double>()) x /= norm;
    log_norm += std::log(norm) / power;
    if (i == 24) break;
    gemm(a, false, a, false, squared.view());
    std::swap(a, squared);
    power *= 2;
  }
  return std::exp(log_norm);
}

EchoStateCell::EchoStateCell(Index in, Index hidden, Rng& rng, const EchoStateOptions& options)
    : Module("echo-state"),
      options_(checked(options)),
      W_(buffer("W", uniform(rng,
                             {detail::checked_size("echo state", "input", in),
                              detail::checked_size("echo state", "hidden", hidden)},
                             -options.input_scale, options.input_scale))),
      R_(buffer("R", reservoir(hidden, rng, options))),
      b_(options.bias ? &buffer("b", uniform(rng, {hidden}, -options.input_scale, options.input_scale)) : nullptr) {}

EchoStateCell::State EchoStateCell::zero_state(Tape& tape, Index batch) const {
  return {tape.constant(0.0, {batch, hidden()})};
}

Tensor EchoStateCell::project(Tensor x) const {
  const Tensor xw = x.dtype() == DType::i32 ? lookup(W_, x) : matmul(x, W_);
  return b_ == nullptr ? xw : xw + *b_;
}

EchoStateCell::State EchoStateCell::step_seeing(Tensor xw, const State& s, Tensor seen) const {
  const Tensor next = tanh(xw + matmul(seen, R_));
  return {options_.leak == 1 ? next : s.h + options_.leak * (next - s.h)};
}

EchoStateCell EchoStateCell::clone() const {
  Rng unused(0);
  return cloned(EchoStateCell(in(), hidden(), unused, options_), *this);
}

EchoStateNetwork::EchoStateNetwork(Index in, Index hidden, Index out, Rng& rng, const EchoStateOptions& options)
    : Module("echo-state"),
      reservoir_(child("reservoir", EchoStateCell(in, hidden, rng, options))),
      readout_(child("readout", Linear(hidden, out, rng, {.bias = options.bias}))) {}

Tensor EchoStateNetwork::operator()(Tensor x) const {
  return readout_(outputs(unroll(reservoir_, x, reservoir_.zero_state(x.tape(), x.size(1)))));
}

void EchoStateNetwork::fit(const Array& x, const Array& targets, Index washout, double ridge) {
  const Index H = reservoir_.hidden(), out = readout_.out();
  if (x.shape().rank() != 3 || targets.shape() != x.shape().with(2, out))
    throw Error(fmt::format("echo state: x {} and targets {} do not fit: [T, N, {}] and [T, N, {}]", x.shape().str(),
                            targets.shape().str(), reservoir_.in(), out));
  const Index steps = x.shape()[0], batch = x.shape()[1];
  if (washout < 0 || washout >= steps)
    throw Error(fmt::format("echo state: a washout of {} steps leaves nothing of {}", washout, steps));
  Tape tape(DType::f64);
  const NoGrad no_grad(tape);
  const Array h = outputs(unroll(reservoir_, tape.constant(x), reservoir_.zero_state(tape, batch))).array(),
              y = targets.to(DType::f64);
  const bool bias = reservoir_.options().bias;
  detail::LinearEquations e{.columns = H + (bias ? 1 : 0), .outputs = out, .constant = bias};
  for (Index row = washout * batch; row < steps * batch; ++row, ++e.rows) {
    const auto at = [&](const Array& a, Index width) { return a.span<double>().begin() + row * width; };
    e.taps.insert(e.taps.end(), at(h, H), at(h, H) + H);
    if (bias) e.taps.push_back(1);
    e.values.insert(e.values.end(), at(y, out), at(y, out) + out);
  }
  const std::vector<double> w = e.solved("echo state", ridge);
  const std::span<const double> all(w);
  const auto cut = static_cast<std::size_t>(H * out);
  Parameter& W = readout_.parameter("W");
  W.set(Array(all.first(cut), {H, out}).to(W.dtype()));
  if (bias) readout_.parameter("b").set(Array(all.subspan(cut), {out}).to(W.dtype()));
}

EchoStateNetwork EchoStateNetwork::clone() const {
  Rng unused(0);
  return cloned(EchoStateNetwork(reservoir_.in(), reservoir_.hidden(), readout_.out(), unused, reservoir_.options()),
                *this);
}

}  // namespace rw
