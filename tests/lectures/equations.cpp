// What the lectures write down for cells and layers: their equations in the slides' notations, and their sizes.
#include <array>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/cells/context.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/readout.h>
#include <rewind/models/sequence/recurrent.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/check_cell.h>

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
  GruCell gru(I, H, rng, {.reset = GruOptions::Reset::before, .update = GruOptions::Update::takes},
              {.bias = Bias::none});
  randomise(gru);
  Tape tape(DType::f64);
  const Tensor x = random(tape, {N, I}, 5), h = random(tape, {N, H}, 6);
  const Tensor r = sigmoid(concatenated(gru, h, x, 0, false)), z = sigmoid(concatenated(gru, h, x, 1, false));
  const Tensor candidate = tanh(concatenated(gru, r * h, x, 2, false));
  CHECK(apart(gru.step(x, {h}).h, (1 - z) * h + z * candidate) < 1e-14);
}

TEST_CASE("E: Elman's network, h = tanh(W x + U h' + b), y = s(W_y h + b_y)") {
  Rng rng(1);
  const Readout<RnnCell> elman{RnnCell(I, H, rng), Linear(H, 2, rng)};
  randomise(elman);
  Tape tape(DType::f64);
  const Tensor x = random(tape, {5, N, I}, 5), y = sigmoid(elman(x));
  Tensor h = tape.constant(0, Shape{N, H});
  for (Index t = 0; t < 5; ++t) {
    h = tanh(concatenated(elman.cell(), h, select(x, 0, t), 0));
    const Tensor expected = sigmoid(matmul(h, elman.head().parameter("W")) + tape.leaf(elman.head().parameter("b")));
    CHECK(apart(select(y, 0, t), expected) < 1e-14);
  }
}

namespace {

// B's context bank, which has weights of its own:
// y = g(sum_j w2_j h_j + sum_b v2_b c_b), h_j = h(sum_i w1_ji x_i + sum_b v1_jb c_b(t-1)), the slide's J being the
// number of inputs, I, and c_b = c(sum_i v_bi x_i + sum_b' v_bb' c_b'(t-1)). g, h and c are tanh here.
class BankCell : public Module {
 public:
  struct State {
    Tensor c, y;  // [N, bank], [N, hidden]
  };
  BankCell(Index in, Index hidden, Rng& rng)
      : Module("bank"),
        bank_(child("bank", RnnCell(in, 3, rng, {.bias = Bias::none}))),
        w1_(param("w1", glorot(rng, in, hidden))),
        v1_(param("v1", glorot(rng, 3, hidden))),
        w2_(param("w2", glorot(rng, hidden, hidden))),
        v2_(param("v2", glorot(rng, 3, hidden))) {}
  State zero_state(Tape& tape, Index batch) const {
    return {bank_.zero_state(tape, batch).h, tape.constant(0, {batch, w2_.shape()[1]})};
  }
  State step(Tensor x, const State& s) const {
    const Tensor h = tanh(matmul(x, w1_) + matmul(s.c, v1_)), c = bank_.step(x, {s.c}).h;
    return {c, tanh(matmul(h, w2_) + matmul(c, v2_))};
  }
  Tensor output(const State& s) const { return s.y; }
  BankCell clone() const {
    Rng unused(0);
    return cloned(BankCell(w1_.shape()[0], w1_.shape()[1], unused), *this);
  }

 private:
  RnnCell& bank_;
  Parameter &w1_, &v1_, &w2_, &v2_;
};

// sum_i x_i w_ik.
double weighted(const std::vector<double>& x, const Array& w, Index k) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * w.at({static_cast<Index>(i), k});
  return sum;
}

}  // namespace

TEST_CASE("B: the context bank is a cell, number by number, and the library's own, whose bank is the hidden layer") {
  Rng rng(1);
  const BankCell cell(I, H, rng);
  randomise(cell);
  Tape tape(DType::f64);
  const Array in = random(tape, {4, 1, I}, 5).array();
  const auto states = unroll(cell, tape.constant(in), cell.zero_state(tape, 1));
  const auto matrix = [&](const char* name) { return cell.parameter(name).value(); };
  std::vector<double> c(3);
  for (Index t = 0; t < 4; ++t) {
    std::vector<double> x, h, next;
    for (Index i = 0; i < I; ++i) x.push_back(in.at({t, 0, i}));
    for (Index j = 0; j < H; ++j) h.push_back(std::tanh(weighted(x, matrix("w1"), j) + weighted(c, matrix("v1"), j)));
    for (Index b = 0; b < 3; ++b)
      next.push_back(std::tanh(weighted(x, matrix("bank.W"), b) + weighted(c, matrix("bank.R"), b)));
    c = next;
    const auto& state = states[static_cast<std::size_t>(t)];
    for (Index b = 0; b < 3; ++b) CHECK(state.c.array().at({0, b}) == doctest::Approx(c[static_cast<std::size_t>(b)]));
    for (Index o = 0; o < H; ++o)
      CHECK(state.y.array().at({0, o}) ==
            doctest::Approx(std::tanh(weighted(h, matrix("w2"), o) + weighted(c, matrix("v2"), o))));
  }
  CHECK(check_cell<BankCell>({.sizes = {{3, 2, 3, 5}}, .small = {.steps = 3, .batch = 2, .in = 2, .hidden = 2}}));

  ContextCell simple(I, H, 2, rng);
  randomise(simple);
  const Tensor x = random(tape, {N, I}, 5), k = random(tape, {N, H}, 6);
  const auto step = simple.step(x, {k, tape.constant(0, Shape{N, 2})});
  const Tensor hidden =
      tanh(matmul(x, simple.parameter("W")) + matmul(k, simple.parameter("R")) + simple.parameter("b"));
  CHECK(apart(step.y, matmul(hidden, simple.parameter("V")) + matmul(k, simple.parameter("U")) +
                          simple.parameter("d")) < 1e-14);
  CHECK(apart(step.k, hidden) == 0);
}

TEST_CASE("E: parameters and shapes of Keras' layers") {
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
    // Kernel, recurrent kernel and bias; outputs of all steps (return_sequences), of the last one, and of Dense.
    const LstmCell lstm(p, n, rng);
    CHECK(lstm.parameter("W").shape() == Shape{p, 4 * n});
    CHECK(lstm.parameter("R").shape() == Shape{n, 4 * n});
    CHECK(lstm.parameter("b").shape() == Shape{4 * n});
    Tape tape;
    const Tensor x = random(tape, {5, N, p}, 5);
    CHECK(Recurrent(RnnCell(p, n, rng))(x).shape() == Shape{5, N, n});
    CHECK(Recurrent(LstmCell(p, n, rng), {.return_sequences = false})(x).shape() == Shape{N, n});
    CHECK(Readout(GruCell(p, n, rng), Linear(n, q, rng))(x).shape() == Shape{5, N, q});
  }
}
