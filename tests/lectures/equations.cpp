// What the lectures write down for cells and layers: their equations in the slides' notations, and their sizes.
#include <array>
#include <cmath>

#include <doctest/doctest.h>

#include <rewind/models/cells/context.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/layers/linear.h>
#include <rewind/ops/ops.h>

using namespace rw;

namespace {

constexpr Index N = 2, I = 3, H = 4;

void randomise(const Module& module) {
  Rng rng(3);
  module.to(DType::f64);
  for (const NamedParameter& p : module.parameters())
    p.parameter->set(uniform(rng, p.parameter->shape(), -0.8, 0.8).to(DType::f64));
}
Tensor random(Tape& tape, const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  return tape.constant(uniform(rng, shape, -1, 1));
}
double apart(const Tensor& a, const Tensor& b) { return max(abs(a - b)).item(); }

// [h, x] W + b, W being [Rg; Wg] of one gate.
Tensor concatenated(const Module& m, Tensor h, Tensor x, Index gate, bool bias = true) {
  Tape& tape = x.tape();
  const Tensor W = concat({tape.leaf(m.parameter("R")), tape.leaf(m.parameter("W"))}, 0);
  const Tensor a = matmul(concat({h, x}, 1), slice(W, 1, gate * H, H));
  return bias ? a + slice(tape.leaf(m.parameter("b")), 0, gate * H, H) : a;
}

}  // namespace

TEST_CASE("A, B, C: the LSTM in block notation, with peepholes, and in concatenated notation") {
  Rng rng(1);
  Tape tape(DType::f64);
  const Tensor x = random(tape, {N, I}, 5), h = random(tape, {N, H}, 6), c = random(tape, {N, H}, 7);

  // B, C: f = s(W_f [h, x] + b_f), i, C~ = tanh(W_C [h, x] + b_C), C = f C' + i C~, o, h = o tanh(C)
  LstmCell lstm(I, H, rng);
  randomise(lstm);
  const auto gate = [&](Index g) { return concatenated(lstm, h, x, g); };
  const Tensor C = sigmoid(gate(1)) * c + sigmoid(gate(0)) * tanh(gate(2));
  const auto step = lstm.step(x, {h, c});
  CHECK(apart(step.c, C) < 1e-14);
  CHECK(apart(step.h, sigmoid(gate(3)) * tanh(C)) < 1e-14);

  // A: z = g(W_z x + R_z y' + b_z), i and f see p * c', o sees p * c; c = i z + f c', y = o h(c)
  LstmCell block(I, H, rng, {.peepholes = LstmOptions::Peepholes::gates});
  randomise(block);
  const auto sum_of = [&](Index g) {
    return matmul(x, slice(tape.leaf(block.parameter("W")), 1, g * H, H)) +
           matmul(h, slice(tape.leaf(block.parameter("R")), 1, g * H, H)) +
           slice(tape.leaf(block.parameter("b")), 0, g * H, H);
  };
  const Tensor z = tanh(sum_of(2)), i = sigmoid(sum_of(0) + block.parameter("pi") * c),
               f = sigmoid(sum_of(1) + block.parameter("pf") * c), memory = i * z + f * c,
               o = sigmoid(sum_of(3) + block.parameter("po") * memory);
  const auto blocks = block.step(x, {h, c});
  CHECK(apart(blocks.c, memory) < 1e-14);
  CHECK(apart(blocks.h, o * tanh(memory)) < 1e-14);
}

TEST_CASE(
    "A: the forget bias begins at 1; with i = 0 and f = 1 the memory is unmodified; B: the self-loop of 1997 is 1") {
  Rng rng(1);
  const LstmCell fresh(I, H, rng);
  for (Index k = 0; k < 4 * H; ++k) CHECK(fresh.parameter("b").value().at({k}) == (k / H == 1 ? 1 : 0));
  LstmCell closed(I, H, rng);
  randomise(closed);
  Array b = closed.parameter("b").value();
  for (Index k = 0; k < H; ++k) b.set({k}, -1000), b.set({H + k}, 1000);
  closed.parameter("b").set(b);
  Tape tape(DType::f64);
  const Tensor x = random(tape, {N, I}, 5), h = random(tape, {N, H}, 6), c = random(tape, {N, H}, 7);
  CHECK(apart(closed.step(x, {h, c}).c, c) == 0);
  LstmCell first(I, H, rng, {.forget_gate = false});
  randomise(first);
  const Tensor more = first.step(x, {h, c + 1}).c - first.step(x, {h, c}).c;
  CHECK(apart(more, tape.constant(1, Shape{N, H})) < 1e-14);
}

TEST_CASE("B: the GRU without biases in its gates, whose z takes the new state") {
  Rng rng(1);
  GruCell gru(I, H, rng, {.bias = Bias::none, .reset = GruOptions::Reset::before, .update = GruOptions::Update::takes});
  randomise(gru);
  Tape tape(DType::f64);
  const Tensor x = random(tape, {N, I}, 5), h = random(tape, {N, H}, 6);
  const Tensor r = sigmoid(concatenated(gru, h, x, 0, false)), z = sigmoid(concatenated(gru, h, x, 1, false));
  const Tensor candidate = tanh(concatenated(gru, r * h, x, 2, false));
  CHECK(apart(gru.step(x, {h}).h, (1 - z) * h + z * candidate) < 1e-14);
}

TEST_CASE("E: Elman's network; B: the context bank, whose first sum runs over the inputs") {
  Rng rng(1);
  RnnCell elman(I, H, rng);
  randomise(elman);
  Tape tape(DType::f64);
  const Tensor x = random(tape, {N, I}, 5), h = random(tape, {N, H}, 6);
  CHECK(apart(elman.step(x, {h}).h, tanh(concatenated(elman, h, x, 0))) < 1e-14);
  // y = sum_j w2 h_j + sum_b v2 c_b, h_j = h(sum_i w1 x_i + sum_b v1 c_b(t-1)): the slide's J is the number of inputs.
  ContextCell bank(I, H, 2, rng);
  randomise(bank);
  CHECK(bank.parameter("W").shape() == Shape{I, H});
  const auto step = bank.step(x, {h, tape.constant(0, Shape{N, 2})});
  const Tensor hidden = tanh(matmul(x, bank.parameter("W")) + matmul(h, bank.parameter("R")) + bank.parameter("b"));
  CHECK(apart(step.y, matmul(hidden, bank.parameter("V")) + matmul(h, bank.parameter("U")) + bank.parameter("d")) <
        1e-14);
}

TEST_CASE("E: parameters of Keras' layers") {
  Rng rng(1);
  using Sizes = std::array<Index, 3>;  // input, hidden, output
  for (const Sizes& sizes : {Sizes{1, 1, 1}, Sizes{3, 4, 2}, Sizes{65, 128, 65}}) {
    const Index p = sizes[0], n = sizes[1], q = sizes[2];
    CAPTURE(n);
    CHECK(RnnCell(p, n, rng).parameter_count() == n * (p + n + 1));
    CHECK(Linear(n, q, rng).parameter_count() == q * (n + 1));
    CHECK(LstmCell(p, n, rng).parameter_count() == 4 * n * (p + n + 1));
    CHECK(GruCell(p, n, rng).parameter_count() == 3 * n * (p + n + 1));
    CHECK(GruCell(p, n, rng, {.bias = Bias::two}).parameter_count() == 3 * n * (p + n + 2));  // reset_after
  }
}
