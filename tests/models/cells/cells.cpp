#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/cells/context.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/jordan.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/mgu.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>

#include "checks.h"

using namespace rw;
using rw::test::randomise;

namespace {

constexpr Index T = 3, N = 2, I = 3, H = 4;

Array sequence(const Shape& shape = {T, N, I}) {
  Rng rng(7);
  return uniform(rng, shape, -1, 1).to(DType::f64);
}

// Cells in plain doubles, straight from their equations.
using Row = std::vector<double>;

double element(const Module& m, const char* name, Index i) { return m.parameter(name).value().view().as<double>()[i]; }

double pre(const Module& m, const Row& x, const Row& h, Index gate, Index k, Index gates, bool input, bool recurrent) {
  const Index width = gates * H, column = gate * H + k;
  double a = 0;
  for (Index i = 0; input && i < I; ++i) a += x[static_cast<std::size_t>(i)] * element(m, "W", i * width + column);
  for (Index i = 0; recurrent && i < H; ++i) a += h[static_cast<std::size_t>(i)] * element(m, "R", i * width + column);
  for (const NamedParameter& p : m.parameters())
    if ((input && p.name == "b") || (recurrent && p.name == "br")) a += element(m, p.name.c_str(), column);
  return a;
}

double logistic(double a) { return 1 / (1 + std::exp(-a)); }

Row plain_rnn(const RnnCell& m, const Row& x, const Row& h) {
  Row y(H);
  for (Index k = 0; k < H; ++k) {
    const double a = pre(m, x, h, 0, k, 1, true, true);
    y[static_cast<std::size_t>(k)] =
        m.options().activation == RnnOptions::Activation::tanh ? std::tanh(a) : std::max(a, 0.0);
  }
  return y;
}

void plain_lstm(const LstmCell& m, const Row& x, Row& h, Row& c) {
  Row new_h(H);
  for (Index k = 0; k < H; ++k) {
    const auto gate = [&](Index g) { return pre(m, x, h, g, k, 4, true, true); };
    double& ck = c[static_cast<std::size_t>(k)];
    ck = logistic(gate(1)) * ck + logistic(gate(0)) * std::tanh(gate(2));
    new_h[static_cast<std::size_t>(k)] = logistic(gate(3)) * std::tanh(ck);
  }
  h = new_h;
}

Row plain_gru(const GruCell& m, const Row& x, const Row& h) {
  Row r(H), rh(H), y(H);
  for (Index k = 0; k < H; ++k) {
    const auto i = static_cast<std::size_t>(k);
    r[i] = logistic(pre(m, x, h, 0, k, 3, true, true));
    rh[i] = r[i] * h[i];
  }
  for (Index k = 0; k < H; ++k) {
    const auto i = static_cast<std::size_t>(k);
    const double z = logistic(pre(m, x, h, 1, k, 3, true, true));
    const bool after = m.options().reset == GruOptions::Reset::after;
    const double n = std::tanh(pre(m, x, h, 2, k, 3, true, false) + (after ? r[i] * pre(m, x, h, 2, k, 3, false, true)
                                                                           : pre(m, x, rh, 2, k, 3, false, true)));
    y[i] = m.options().update == GruOptions::Update::keeps ? (1 - z) * n + z * h[i] : z * n + (1 - z) * h[i];
  }
  return y;
}

Row plain_mgu(const MguCell& m, const Row& x, const Row& h) {
  Row f(H), fh(H), y(H);
  for (Index k = 0; k < H; ++k) {
    const auto i = static_cast<std::size_t>(k);
    f[i] = logistic(pre(m, x, h, 0, k, 2, true, true));
    fh[i] = f[i] * h[i];
  }
  for (Index k = 0; k < H; ++k) {
    const auto i = static_cast<std::size_t>(k);
    y[i] = (1 - f[i]) * h[i] + f[i] * std::tanh(pre(m, x, fh, 1, k, 2, true, true));
  }
  return y;
}

// x times a matrix [x, out], column k.
double times(const Module& m, const Row& x, const char* matrix, Index k, Index out) {
  double a = 0;
  for (std::size_t i = 0; i < x.size(); ++i) a += x[i] * element(m, matrix, static_cast<Index>(i) * out + k);
  return a;
}

bool has(const Module& m, const std::string& name) {
  for (const NamedParameter& p : m.parameters())
    if (p.name == name) return true;
  return false;
}

// tanh(x W + fed_back R + b + br).
Row hidden_layer(const Module& m, const Row& x, const Row& fed_back) {
  Row h(H);
  for (Index k = 0; k < H; ++k) {
    double a = times(m, x, "W", k, H) + times(m, fed_back, "R", k, H);
    for (const char* bias : {"b", "br"}) a += has(m, bias) ? element(m, bias, k) : 0;
    h[static_cast<std::size_t>(k)] = std::tanh(a);
  }
  return h;
}

// step(x, h) of plain doubles, run along the sequence for each row, against the outputs of `unroll`.
template <class C, class Step>
void check_values(const C& cell, Step&& step) {
  randomise(cell);
  const Array x = sequence();
  Tape tape(DType::f64);
  const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, N));
  REQUIRE(states.size() == T);
  for (Index n = 0; n < N; ++n) {
    Row h(H, 0.0), c(H, 0.0);
    for (Index t = 0; t < T; ++t) {
      const double* row = x.span<double>().data() + (t * N + n) * I;
      step(Row(row, row + I), h, c);
      for (Index k = 0; k < H; ++k)
        CHECK(states[static_cast<std::size_t>(t)].h.array().at({n, k}) ==
              doctest::Approx(h[static_cast<std::size_t>(k)]).epsilon(1e-13));
    }
  }
}

std::vector<Bias> all_biases() { return {Bias::none, Bias::one, Bias::two}; }

}  // namespace

TEST_CASE("RnnCell: values and gradients") {
  Rng rng(1);
  for (const Bias bias : all_biases())
    for (const auto activation : {RnnOptions::Activation::tanh, RnnOptions::Activation::relu}) {
      RnnCell cell(I, H, rng, {.activation = activation}, {.bias = bias});
      check_values(cell, [&](const Row& x, Row& h, Row&) { h = plain_rnn(cell, x, h); });
      test::check_gradients(cell, sequence());
    }
}

TEST_CASE("LstmCell: values and gradients") {
  Rng rng(1);
  for (const Bias bias : all_biases()) {
    LstmCell cell(I, H, rng, {.bias = bias});
    check_values(cell, [&](const Row& x, Row& h, Row& c) { plain_lstm(cell, x, h, c); });
    test::check_gradients(cell, sequence());
  }
}

TEST_CASE("GruCell: values and gradients of all kinds") {
  Rng rng(1);
  for (const Bias bias : all_biases())
    for (const auto reset : {GruOptions::Reset::after, GruOptions::Reset::before})
      for (const auto update : {GruOptions::Update::keeps, GruOptions::Update::takes}) {
        GruCell cell(I, H, rng, {.reset = reset, .update = update}, {.bias = bias});
        check_values(cell, [&](const Row& x, Row& h, Row&) { h = plain_gru(cell, x, h); });
        test::check_gradients(cell, sequence());
      }
}

TEST_CASE("MguCell: values and gradients") {
  Rng rng(1);
  for (const Bias bias : all_biases()) {
    MguCell cell(I, H, rng, {.bias = bias});
    check_values(cell, [&](const Row& x, Row& h, Row&) { h = plain_mgu(cell, x, h); });
    test::check_gradients(cell, sequence());
  }
}

TEST_CASE("JordanCell: values and gradients; the output is fed back") {
  Rng rng(1);
  constexpr Index out = 2;
  using Output = JordanOptions::Output;
  for (const Bias bias : all_biases())
    for (const Output squash : {Output::identity, Output::tanh, Output::sigmoid}) {
      const JordanCell cell(I, H, out, rng, {.output = squash}, {.bias = bias});
      test::check_gradients(cell, sequence());
      Tape tape(DType::f64);
      const Array x = sequence();
      const Tensor y = outputs(cell, unroll(cell, tape.constant(x), cell.zero_state(tape, N)));
      REQUIRE(y.shape() == Shape{T, N, out});
      Row fed_back(out);
      for (Index t = 0; t < T; ++t) {
        const double* row = x.span<double>().data() + t * N * I;
        const Row h = hidden_layer(cell, Row(row, row + I), fed_back);
        for (Index k = 0; k < out; ++k) {
          const double a = times(cell, h, "V", k, out) + (has(cell, "d") ? element(cell, "d", k) : 0);
          fed_back[static_cast<std::size_t>(k)] = squash == Output::tanh      ? std::tanh(a)
                                                  : squash == Output::sigmoid ? logistic(a)
                                                                              : a;
          CHECK(y.array().at({t, 0, k}) == doctest::Approx(fed_back[static_cast<std::size_t>(k)]).epsilon(1e-13));
        }
      }
    }
  CHECK_THROWS_WITH_AS(JordanCell(I, H, 0, rng), "jordan: output size must be at least 1, not 0", Error);
}

TEST_CASE("ContextCell: values and gradients; the context bank feeds the hidden and the output layer") {
  Rng rng(1);
  constexpr Index out = 2;
  for (const Bias bias : all_biases())
    for (const double decay : {0.0, 0.75}) {
      const ContextCell cell(I, H, out, rng, {.decay = decay}, {.bias = bias});
      test::check_gradients(cell, sequence());
      Tape tape(DType::f64);
      const Array x = sequence();
      const Tensor y = outputs(cell, unroll(cell, tape.constant(x), cell.zero_state(tape, N)));
      REQUIRE(y.shape() == Shape{T, N, out});
      Row context(H);
      for (Index t = 0; t < T; ++t) {
        const double* row = x.span<double>().data() + t * N * I;
        const Row h = hidden_layer(cell, Row(row, row + I), context);
        for (Index k = 0; k < out; ++k) {
          const double a = times(cell, h, "V", k, out) + times(cell, context, "U", k, out) +
                           (has(cell, "d") ? element(cell, "d", k) : 0);
          CHECK(y.array().at({t, 0, k}) == doctest::Approx(a).epsilon(1e-13));
        }
        for (std::size_t k = 0; k < H; ++k) context[k] = decay * context[k] + (1 - decay) * h[k];
      }
    }
  CHECK_THROWS_WITH_AS(ContextCell(I, H, out, rng, {.decay = 1}), "context: decay is 1: it must be in [0, 1)", Error);
  CHECK_THROWS_WITH_AS(ContextCell(I, H, 0, rng), "context: output size must be at least 1, not 0", Error);
}

TEST_CASE("a relu network that starts as the identity keeps what it has, but for small inputs") {
  Rng rng(1);
  const RnnCell cell = RnnCell::irnn(I, H, rng);
  CHECK(cell.parameter("R").value() == identity(H));
  Tape tape;
  const Array start = full({N, H}, 0.5);
  const auto states = unroll(cell, tape.constant(Array(zeros(T, N, I))), {tape.constant(start)});
  CHECK(states.back().h.array() == start);
  const RnnCell half = RnnCell::irnn(I, H, rng, 0.5);
  CHECK(half.parameter("R").value() == identity(H, H, 0.5));
  const RnnCell two = RnnCell::irnn(I, H, rng, 1, {.bias = Bias::two, .recurrent = Init::orthogonal()});
  CHECK(two.parameter("R").value() == identity(H));
  CHECK(two.parameter("br").shape() == Shape{H});
}

TEST_CASE("a cell takes options of its own, those that cells share, or both, and its clone has them") {
  Rng rng(1);
  const LstmCell own(I, H, rng, {.forget_bias = 3}), shared(I, H, rng, {.bias = Bias::two, .heads = 2}),
      both(I, H, rng, {.projection = 2}, {.bias = Bias::none, .recurrent = Init::constant(0.5)});
  CHECK(own.options().forget_bias == 3);
  CHECK(own.shared_options().bias == Bias::one);
  CHECK(shared.options().forget_bias == 1);
  CHECK(shared.parameter("br").shape() == Shape{4 * H});
  CHECK(shared.clone().parameter("R").shape() == Shape{H / 2, 4 * H});
  CHECK(both.parameter("R").value() == full({2, 4 * H}, 0.5));
  CHECK(both.clone().out() == 2);
  CHECK(both.clone().shared_options().bias == Bias::none);
}

TEST_CASE("the forget gate's bias starts at 1, with one bias or two, and parameters count as they should") {
  Rng rng(1);
  const LstmCell one(65, 128, rng, {.biases = Init::uniform(0.08)}), two(65, 128, rng, {.bias = Bias::two});
  CHECK(one.parameter("b").value().at({127}) != 1);
  CHECK(one.parameter("b").value().at({128}) == 1);
  CHECK(one.parameter("b").value().at({255}) == 1);
  CHECK(one.parameter("b").value().at({256}) != 1);
  CHECK(two.parameter("b").value().at({130}) + two.parameter("br").value().at({130}) == 1);
  CHECK(one.parameter_count() == 4 * 128 * (65 + 128) + 512);
  CHECK(two.parameter_count() == one.parameter_count() + 512);
  CHECK(LstmCell(3, 2, rng, {.bias = Bias::none}).parameter_count() == 4 * 2 * (3 + 2));
}
