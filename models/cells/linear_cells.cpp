#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/linear_cells.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/linear_recurrence.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// A copy of a cell that is made of in, hidden and options.
template <class C>
C copied(const C& cell) {
  Rng unused(0);
  return cloned(C(cell.in(), cell.hidden(), unused, cell.options()), cell);
}

/// From the h of all steps [T, N, H].
template <class State>
Scanned<State> scanned(Tensor h) {
  return {h, {select(h, 0, -1)}};
}

}  // namespace

InputGatedCell::InputGatedCell(const char* name, Index in, Index hidden, Index gates, Rng& rng,
                               const CellOptions& options, Index biased)
    : Module(name),
      options_(options),
      in_(detail::checked_size(name, "input", in)),
      hidden_(detail::checked_size(name, "hidden", hidden)),
      W_(param("W", options.weights(rng, in, hidden, gates))),
      b_(nullptr) {
  if (options.heads != 1)
    throw Error(fmt::format("{}: there is no recurrent matrix to cut into {} heads", name, options.heads));
  if (biased == 0) biased = gates;
  if (options.bias != Bias::none) b_ = &param("b", options.biases(rng, 1, hidden, biased).reshaped({biased * hidden}));
}

Tensor InputGatedCell::project(Tensor x) const {
  const Tensor xw = x.dtype() == DType::i32 ? lookup(W_, x) : matmul(x, W_);
  if (b_ == nullptr) return xw;
  const Index biased = b_->shape()[0], all = xw.size(-1);
  if (biased == all) return xw + *b_;
  return concat({slice(xw, -1, 0, biased) + *b_, slice(xw, -1, biased, all - biased)}, -1);
}

MinGruCell::MinGruCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("min-gru", in, hidden, 2, rng, options) {}

MinGruCell::State MinGruCell::step_projected(Tensor xw, const State& s) const {
  const auto [a, n] = split<2>(xw);
  return {s.h + sigmoid(a) * (n - s.h)};
}

Scanned<MinGruCell::State> MinGruCell::scan(Tensor x, const State& s) const {
  const auto [a, n] = split<2>(project(x));
  return scanned<State>(linear_recurrence_from(s.h, sigmoid(-a), sigmoid(a) * n));
}

MinGruCell MinGruCell::clone() const { return copied(*this); }

MinLstmCell::MinLstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("min-lstm", in, hidden, 3, rng, options) {}

MinLstmCell::State MinLstmCell::step_projected(Tensor xw, const State& s) const {
  const auto [a, b, n] = split<3>(xw);
  // f' / (f' + i'), without a quotient of two numbers that may both be tiny.
  const Tensor forget = sigmoid(log_sigmoid(a) - log_sigmoid(b));
  return {n + forget * (s.h - n)};
}

Scanned<MinLstmCell::State> MinLstmCell::scan(Tensor x, const State& s) const {
  const auto [a, b, n] = split<3>(project(x));
  const Tensor difference = log_sigmoid(a) - log_sigmoid(b);
  return scanned<State>(linear_recurrence_from(s.h, sigmoid(difference), sigmoid(-difference) * n));
}

MinLstmCell MinLstmCell::clone() const { return copied(*this); }

QrnnCell::QrnnCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("qrnn", in, hidden, 6, rng, options, 3) {}

QrnnCell::State QrnnCell::zero_state(Tape& tape, Index batch) const {
  return {zeros(tape, batch), zeros(tape, batch), tape.constant(0.0, {batch, 3 * hidden_})};
}

QrnnCell::State QrnnCell::step_projected(Tensor xw, const State& s) const {
  const auto [now, next] = split<2>(xw);
  const auto [z, f, o] = split<3>(now + s.v);
  const Tensor candidate = tanh(z), c = candidate + sigmoid(f) * (s.c - candidate);
  return {sigmoid(o) * c, c, next};
}

Scanned<QrnnCell::State> QrnnCell::scan(Tensor x, const State& s) const {
  const auto [now, next] = split<2>(project(x));
  const Index steps = x.size(0);
  const Tensor first = reshape(broadcast_to(s.v, next.shape().without(0)), next.shape().with(0, 1));
  const Tensor before = steps == 1 ? first : concat({first, slice(next, 0, 0, steps - 1)}, 0);
  const auto [z, f, o] = split<3>(now + before);
  const Tensor c = linear_recurrence_from(s.c, sigmoid(f), sigmoid(-f) * tanh(z)), h = sigmoid(o) * c;
  return {h, {select(h, 0, -1), select(c, 0, -1), select(next, 0, -1)}};
}

QrnnCell QrnnCell::clone() const { return copied(*this); }

SruCell::SruCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("sru", in, hidden, 4, rng, options),
      vf_(param("vf", options.biases(rng, 1, hidden).reshaped({hidden}))),
      vr_(param("vr", options.biases(rng, 1, hidden).reshaped({hidden}))) {}

SruCell::State SruCell::step_projected(Tensor xw, const State& s) const {
  const auto [f, r, n, skip] = split<4>(xw);
  const Tensor c = n + sigmoid(f + vf_ * s.c) * (s.c - n);
  return {skip + sigmoid(r + vr_ * s.c) * (c - skip), c};
}

SruCell SruCell::clone() const { return copied(*this); }

IndRnnCell::IndRnnCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("indrnn", in, hidden, 1, rng, options), u_(param("u", uniform(rng, {hidden}, 0, 1))) {}

IndRnnCell::State IndRnnCell::step_projected(Tensor xw, const State& s) const { return {relu(xw + u_ * s.h)}; }

IndRnnCell IndRnnCell::clone() const { return copied(*this); }

namespace {

/// log(-log(r)), of radii r whose squares are uniform in [0.25, 0.98]: the disk evenly.
Array log_decays(Index hidden, Rng& rng) {
  Array nu = uniform(rng, {hidden}, 0.5 * 0.5, 0.99 * 0.99);
  for (float& x : nu.span<float>()) x = std::log(-0.5f * std::log(x));
  return nu;
}

Array log_angles(Index hidden, Rng& rng) {
  Array theta = uniform(rng, {hidden}, 1e-3, 2 * std::numbers::pi);
  for (float& x : theta.span<float>()) x = std::log(x);
  return theta;
}

}  // namespace

LruCell::LruCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : InputGatedCell("lru", in, hidden, 3, rng, options),
      nu_(param("nu", log_decays(hidden, rng))),
      theta_(param("theta", log_angles(hidden, rng))),
      C1_(param("C1", options.weights(rng, hidden, hidden))),
      C2_(param("C2", options.weights(rng, hidden, hidden))) {}

LruCell::Recurrence LruCell::recurrence(Tape& tape) const {
  const Tensor decay = exp(tape.leaf(nu_)), angle = exp(tape.leaf(theta_));
  return {exp(-decay), sqrt(-expm1(-2 * decay)), {cos(angle), sin(angle)}};
}

Tensor LruCell::read(Complex s, Tensor direct) const { return matmul(s.re, C1_) - matmul(s.im, C2_) + direct; }

LruCell::State LruCell::step_projected(Tensor xw, const State& s) const {
  const Recurrence r = recurrence(xw.tape());
  const Tensor a = r.radius * r.turn.re, b = r.radius * r.turn.im;
  const auto [in_re, in_im, direct] = split<3>(xw);
  const Tensor re = a * s.re - b * s.im + r.gamma * in_re, im = a * s.im + b * s.re + r.gamma * in_im;
  return {read({re, im}, direct), re, im};
}

/// The powers 0, 1, ... of `turn`, [steps, 1, H]. By doubling, with turns that are kept at length 1: so the error of a
/// power grows with the logarithm of its exponent, but for what a rounded angle explains, and an angle times t would
/// lose digits with t.
LruCell::Complex LruCell::turns(Complex turn, Index steps) {
  const Shape one{1, 1, turn.re.size(0)};
  Tensor zr = reshape(turn.re, one), zi = reshape(turn.im, one);
  Complex all{turn.re.tape().constant(1, one), turn.re.tape().constant(0, one)};
  for (Index done = 1; done < steps; done *= 2) {
    const Index more = std::min(done, steps - done);
    const Tensor re = slice(all.re, 0, 0, more), im = slice(all.im, 0, 0, more);
    all = {concat({all.re, zr * re - zi * im}, 0), concat({all.im, zr * im + zi * re}, 0)};
    const Tensor squared_re = zr * zr - zi * zi, squared_im = 2 * zr * zi;
    const Tensor length = sqrt(squared_re * squared_re + squared_im * squared_im);
    zr = squared_re / length;
    zi = squared_im / length;
  }
  return all;
}

Scanned<LruCell::State> LruCell::scan(Tensor x, const State& s) const {
  const auto [in_re, in_im, direct] = split<3>(project(x));
  const Recurrence r = recurrence(x.tape());
  const Complex turn = turns(r.turn, x.size(0));
  const Tensor radius = broadcast_to(r.radius, in_re.shape());
  const Tensor re = linear_recurrence_from(r.turn.re * s.re - r.turn.im * s.im, radius,
                                           r.gamma * (turn.re * in_re + turn.im * in_im));
  const Tensor im = linear_recurrence_from(r.turn.re * s.im + r.turn.im * s.re, radius,
                                           r.gamma * (turn.re * in_im - turn.im * in_re));
  const Complex all{turn.re * re - turn.im * im, turn.re * im + turn.im * re};
  const Tensor y = read(all, direct);
  return {y, {select(y, 0, -1), select(all.re, 0, -1), select(all.im, 0, -1)}};
}

LruCell LruCell::clone() const { return copied(*this); }

}  // namespace rw
