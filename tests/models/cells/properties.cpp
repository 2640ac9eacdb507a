// What must hold of cells whatever their weights are.
#include <limits>

#include <doctest/doctest.h>

#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/mgu.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

#include "../sequence.h"
#include "checks.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index long_time = 50;

// Fills the bias of one gate with a number so large that nothing opens, or closes, the gate any more.
void fix_gate(const Module& cell, Index gate, double value) {
  Parameter& b = cell.parameter("b");
  for (Index k = 0; k < H; ++k) {
    if (b.dtype() == DType::f64)
      b.edit().as<double>()[gate * H + k] = value;
    else
      b.edit().as<float>()[gate * H + k] = static_cast<float>(value);
  }
}

// Of each number type: the state stays the same bits.
template <class C>
void check_memory_stays(const C& cell, Tensor C::State::*memory) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    cell.to(dtype);
    Tape tape(dtype);
    const auto start = random_state(cell, tape, N);
    const auto states = unroll(cell, tape.constant(sequence(long_time)), start);
    CHECK((start.*memory).array().at({1, 1}) != 0);
    for (const auto& s : states) CHECK((s.*memory).array() == (start.*memory).array());
  }
}

// [h, x] of one batch, and [R; W] of one matrix.
Tensor concatenated(Tensor h, Tensor x, const Module& cell) {
  Tape& tape = x.tape();
  return matmul(concat({h, x}, 1), concat({tape.leaf(cell.parameter("R")), tape.leaf(cell.parameter("W"))}, 0));
}

Array run(const GruCell& cell) {
  Tape tape(DType::f64);
  return outputs(unroll(cell, tape.constant(sequence()), random_state(cell, tape, N))).array();
}

double distance_of(const Array& a, const Array& b) {
  Tape tape(DType::f64);
  return distance(tape.constant(a), tape.constant(b));
}

// The same weights, in a cell with other options of its own.
GruCell with(const GruCell& from, const GruOptions& options) {
  Rng unused(1);
  GruCell to(I, H, unused, options, from.shared_options());
  to.to(DType::f64);
  copy_parameters(from, to);
  return to;
}

}  // namespace

TEST_CASE("with the input gate closed and the forget gate open, the memory of an LSTM stays the same bits") {
  Rng rng(1);
  using P = LstmOptions::Peepholes;
  for (const P peepholes : {P::none, P::all}) {
    for (const bool norm : {false, true}) {
      const LstmCell cell(I, H, rng, {.peepholes = peepholes, .layer_norm = norm});
      randomise(cell);
      fix_gate(cell, 0, -1000);
      fix_gate(cell, 1, 1000);
      check_memory_stays(cell, &LstmCell::State::c);
    }
    const LstmCell carousel(I, H, rng, {.forget_gate = false, .peepholes = peepholes}),
        coupled(I, H, rng, {.coupled = true, .peepholes = peepholes});
    for (const LstmCell* cell : {&carousel, &coupled}) {
      randomise(*cell);
      fix_gate(*cell, 0, -1000);
      check_memory_stays(*cell, &LstmCell::State::c);
    }
  }
}

TEST_CASE("with the gate that writes closed, GRU and minimal gated unit keep the same bits") {
  Rng rng(1);
  const GruCell gru(I, H, rng, {.update = GruOptions::Update::takes});
  randomise(gru);
  fix_gate(gru, 1, -1000);
  check_memory_stays(gru, &GruCell::State::h);
  const MguCell mgu(I, H, rng);
  randomise(mgu);
  fix_gate(mgu, 0, -1000);
  check_memory_stays(mgu, &MguCell::State::h);
}

TEST_CASE("the cell of 1997: the error flows back through the memory as it is") {
  Rng rng(1);
  const LstmCell cell(I, H, rng, {.forget_gate = false});
  randomise(cell);
  fix_gate(cell, 0, -1000);
  Tape tape(DType::f64);
  const Tensor c = tape.variable(Array(zeros(N, H)).to(DType::f64));
  const auto states = unroll(cell, tape.constant(sequence(long_time)), {cell.zero_state(tape, N).h, c});
  CHECK(grad(sum(states.back().c), c).array() == full({N, H}, 1).to(DType::f64));
  // What is squashed stays in its range, whatever comes in.
  fix_gate(cell, 0, 1000);
  fix_gate(cell, 1, 1000);
  fix_gate(cell, 2, 1000);
  Tape other(DType::f64);
  const auto open = unroll(cell, other.constant(sequence(long_time)), cell.zero_state(other, N));
  CHECK(open[0].c.array() == full({N, H}, 2).to(DType::f64));
  CHECK(open.back().c.array() == full({N, H}, 2 * long_time).to(DType::f64));
  CHECK(open.back().h.array() == full({N, H}, 1).to(DType::f64));
}

TEST_CASE("the concatenated form W [h, x] is the split form") {
  Rng rng(1);
  const LstmCell lstm(I, H, rng);
  const GruCell gru(I, H, rng, {.reset = GruOptions::Reset::before, .update = GruOptions::Update::takes});
  const MguCell mgu(I, H, rng);
  for (const Module* m : std::initializer_list<const Module*>{&lstm, &gru, &mgu}) randomise(*m);
  Tape tape(DType::f64);
  const Tensor all = tape.constant(sequence());
  const auto lstm_states = unroll(lstm, all, lstm.zero_state(tape, N));
  const auto gru_states = unroll(gru, all, gru.zero_state(tape, N));
  const auto mgu_states = unroll(mgu, all, mgu.zero_state(tape, N));
  auto s = lstm.zero_state(tape, N);
  Tensor h = gru.zero_state(tape, N).h, m = mgu.zero_state(tape, N).h;
  for (Index t = 0; t < T; ++t) {
    const Tensor x = at_step(all, t);
    const auto at = static_cast<std::size_t>(t);
    const auto [i, f, g, o] = split<4>(concatenated(s.h, x, lstm) + lstm.parameter("b"));
    s.c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
    s.h = sigmoid(o) * tanh(s.c);
    CHECK(distance(lstm_states[at].h, s.h) < 1e-14);

    const auto [r, z, unused] = split<3>(concatenated(h, x, gru) + gru.parameter("b"));
    const Tensor n = split<3>(concatenated(sigmoid(r) * h, x, gru) + gru.parameter("b"))[2];
    h = (1 - sigmoid(z)) * h + sigmoid(z) * tanh(n);
    CHECK(distance(gru_states[at].h, h) < 1e-14);

    const Tensor forget = sigmoid(split<2>(concatenated(m, x, mgu) + mgu.parameter("b"))[0]);
    const Tensor next = split<2>(concatenated(forget * m, x, mgu) + mgu.parameter("b"))[1];
    m = (1 - forget) * m + forget * tanh(next);
    CHECK(distance(mgu_states[at].h, m) < 1e-14);
  }
}

TEST_CASE("GRU kinds agree when resets and recurrent biases make them so, and else do not") {
  using Reset = GruOptions::Reset;
  using Update = GruOptions::Update;
  Rng rng(1);
  const GruCell cell(I, H, rng, {.bias = Bias::two});
  randomise(cell);
  CHECK(distance_of(run(cell), run(with(cell, {.reset = Reset::before}))) > 1e-3);

  // A reset gate that is open: before or after the product is the same, recurrent biases and all.
  const GruCell open = cell.clone();
  fix_gate(open, 0, 1000);
  CHECK(distance_of(run(open), run(with(open, {.reset = Reset::before}))) < 1e-14);

  // A reset gate that is closed: after the product it takes the recurrent bias along.
  const GruCell closed = cell.clone();
  fix_gate(closed, 0, -1000);
  const Array with_bias = run(with(closed, {.reset = Reset::before}));
  CHECK(distance_of(run(closed), with_bias) > 1e-3);
  for (Index k = 2 * H; k < 3 * H; ++k) {
    double &b = closed.parameter("b").edit().as<double>()[k], &br = closed.parameter("br").edit().as<double>()[k];
    b += br;
    br = 0;
  }
  CHECK(distance_of(run(with(closed, {.reset = Reset::before})), with_bias) < 1e-14);
  CHECK(distance_of(run(closed), with_bias) < 1e-14);

  // A gate that takes is one that keeps with the opposite sign.
  CHECK(distance_of(run(cell), run(with(cell, {.update = Update::takes}))) > 1e-3);
  const GruCell turned = with(cell, {.update = Update::takes});
  for (const NamedParameter& p : turned.parameters())
    for (Index row = 0; row < p.parameter->size() / (3 * H); ++row)
      for (Index k = H; k < 2 * H; ++k) p.parameter->edit().as<double>()[row * 3 * H + k] *= -1;
  CHECK(distance_of(run(cell), run(turned)) < 1e-14);
}

TEST_CASE("one bias is two whose second is 0, where no reset gate stands between them") {
  Rng rng(1);
  for (const GruOptions::Reset reset : {GruOptions::Reset::before, GruOptions::Reset::after}) {
    const GruCell two(I, H, rng, {.reset = reset}, {.bias = Bias::two}), one(I, H, rng, {.reset = reset});
    randomise(two);
    one.to(DType::f64);
    for (const char* name : {"W", "R", "b"}) one.parameter(name).set(two.parameter(name).value());
    for (Index k = 0; k < 3 * H; ++k)
      one.parameter("b").edit().as<double>()[k] +=
          two.parameter("br").value().span<double>()[static_cast<std::size_t>(k)];
    const double apart = distance_of(run(one), run(two));
    if (reset == GruOptions::Reset::before)
      CHECK(apart < 1e-14);
    else
      CHECK(apart > 1e-3);
  }
}
