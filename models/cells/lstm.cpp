#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

const LstmOptions& checked(const LstmOptions& o, Index hidden) {
  if (!o.forget_gate && o.coupled)
    throw Error(
        "lstm: coupled gates need a forget gate to couple to the input gate, and the cell of 1997 has none; give one "
        "of coupled = true and forget_gate = false");
  if (!o.forget_gate && o.forget_bias != LstmOptions().forget_bias)
    throw Error(fmt::format("lstm: forget_bias is {}, but the cell of 1997 has no forget gate; leave one of them out",
                            o.forget_bias));
  if (o.projection < 0 || (o.projection > 0 && o.projection >= hidden))
    throw Error(fmt::format("lstm: projection is {}: it must be below the hidden size, {}, or 0 for none", o.projection,
                            hidden));
  if (o.layer_norm && hidden == 1)
    throw Error("lstm: layer norm needs a hidden size of at least 2: a number less its own mean is 0");
  return o;
}

Index width_of_h(const LstmOptions& o, Index hidden) { return o.projection > 0 ? o.projection : hidden; }

Index gates_of(const LstmOptions& o) { return o.forget_gate && !o.coupled ? 4 : 3; }

Tensor peeped(Tensor a, Parameter* weights, Tensor c) { return weights != nullptr ? a + c * *weights : a; }

}  // namespace

LstmCell::LstmCell(Index in, Index hidden, Rng& rng, const LstmOptions& own, const CellOptions& shared)
    : GatedCell(
          "lstm",
          {.in = in, .hidden = hidden, .gates = gates_of(checked(own, hidden)), .fed_back = width_of_h(own, hidden)},
          rng, shared),
      options_(own) {
  if (own.projection > 0) P_ = &param("P", shared.weights(rng, hidden, own.projection));
  if (own.peepholes != LstmOptions::Peepholes::none) add_peepholes();
  if (own.layer_norm) add_norms();
  if (b_ != nullptr && own.forget_gate) start_forgetting();
}

void LstmCell::add_peepholes() {
  const auto add = [&](const char* name) { return &param(name, constant({hidden_}, 0)); };
  pi_ = add("pi");
  if (options_.forget_gate && !options_.coupled) pf_ = add("pf");
  if (options_.peepholes == LstmOptions::Peepholes::all) pg_ = add("pg");
  po_ = add("po");
}

void LstmCell::add_norms() {
  const Index width = gates_of(options_) * hidden_;
  norm_x_ = &child("norm_x", LayerNorm(width, {.shift = false}));
  norm_h_ = &child("norm_h", LayerNorm(width, {.shift = false}));
  norm_c_ = &child("norm_c", LayerNorm(hidden_));
}

void LstmCell::start_forgetting() {
  const Index gate = options_.coupled ? 0 : 1;
  const double value = options_.coupled ? -options_.forget_bias : options_.forget_bias;
  const auto start = [&](Parameter& bias, double at) {
    std::fill_n(bias.edit().as<float>() + gate * hidden_, hidden_, static_cast<float>(at));
  };
  start(*b_, value);
  if (br_ != nullptr) start(*br_, 0);
}

LstmCell::State LstmCell::zero_state(Tape& tape, Index batch) const {
  return {.h = tape.constant(0.0, {batch, out()}), .c = zeros(tape, batch)};
}

Tensor LstmCell::project(Tensor x) const {
  return norm_x_ == nullptr ? GatedCell::project(x) : biased((*norm_x_)(multiplied(x)), b_);
}

LstmCell::Step LstmCell::advance(Tensor xw, const State& s, Tensor seen) const {
  const Tensor hr =
      norm_h_ == nullptr ? recur(seen) : biased((*norm_h_)(times_recurrent(seen, seen.tape().leaf(R_))), br_);
  Gates z = sliced(xw + hr);
  z.g = candidate(peeped(z.g, pg_, s.c));
  z.i = sigmoid(peeped(z.i, pi_, s.c));
  const Tensor written = z.i * z.g;
  if (options_.forget_gate) z.f = options_.coupled ? 1 - z.i : sigmoid(peeped(z.f, pf_, s.c));
  const Tensor c = (options_.forget_gate ? z.f * s.c : s.c) + written;
  const Tensor squashed_c = squashed(c);
  z.o = sigmoid(peeped(z.o, po_, c));
  const Tensor h = z.o * squashed_c;
  return {.state = {.h = P_ != nullptr ? matmul(h, *P_) : h, .c = c}, .gates = z};
}

LstmCell::Gates LstmCell::sliced(Tensor a) const {
  if (gates_of(options_) == 4) {
    const auto [i, f, g, o] = split<4>(a);
    return {.i = i, .f = f, .g = g, .o = o};
  }
  const auto [i, g, o] = split<3>(a);
  return {.i = i, .f = {}, .g = g, .o = o};
}

Tensor LstmCell::candidate(Tensor a) const { return options_.forget_gate ? tanh(a) : 4 * sigmoid(a) - 2; }

Tensor LstmCell::squashed(Tensor c) const {
  const Tensor seen = norm_c_ != nullptr ? (*norm_c_)(c) : c;
  return options_.forget_gate ? tanh(seen) : 2 * sigmoid(seen) - 1;
}

LstmCell LstmCell::clone() const {
  Rng unused(0);
  return cloned(LstmCell(in_, hidden_, unused, options_, shared_), *this);
}

}  // namespace rw
