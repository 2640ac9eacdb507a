#include <string>

#include <doctest/doctest.h>

#include <rewind/core/threads.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 6, N = 5, I = 4, H = 8;

/// Minimal gated unit (Zhou et al., 2016).
class Mgu : public Module {
 public:
  struct State {
    Tensor h;
  };
  Mgu(Index in, Index hidden, Rng& rng)
      : W_(param("W", random_array(Shape{in, 2 * hidden}, rng.next(), 0.4))),
        U_(param("U", random_array(Shape{hidden, hidden}, rng.next(), 0.4))),
        V_(param("V", random_array(Shape{hidden, hidden}, rng.next(), 0.4))),
        b_(param("b", random_array(Shape{2 * hidden}, rng.next(), 0.4))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, Shape{batch, hidden_})}; }
  State step(Tensor x, State s) const {
    auto [zf, zn] = split<2>(matmul(x, W_) + b_);
    const Tensor f = sigmoid(zf + matmul(s.h, U_));
    const Tensor n = tanh(zn + matmul(f * s.h, V_));
    return {s.h + f * (n - s.h)};
  }

 private:
  Parameter &W_, &U_, &V_, &b_;
  Index hidden_;
};

/// An LSTM whose gates see the cell (Gers and Schmidhuber, 2000) and are normalised by rows (Ba et al., 2016).
class PeepholeNormLstm : public Module {
 public:
  struct State {
    Tensor h, c;
  };
  PeepholeNormLstm(Index in, Index hidden, Rng& rng)
      : W_(param("W", random_array(Shape{in, 4 * hidden}, rng.next(), 0.4))),
        R_(param("R", random_array(Shape{hidden, 4 * hidden}, rng.next(), 0.4))),
        p_(param("p", random_array(Shape{hidden}, rng.next(), 0.4))),
        g_(param("g", random_array(Shape{4 * hidden}, rng.next(), 0.4))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const {
    const Tensor zero = tape.constant(0, Shape{batch, hidden_});
    return {zero, zero};
  }
  State step(Tensor x, State s) const {
    const Tensor z = matmul(x, W_) + matmul(s.h, R_);
    const Tensor d = z - mean(z, {-1}, true);
    auto [i, f, g, o] = split<4>(d / sqrt(mean(d * d, {-1}, true) + 1e-3) * g_);
    const Tensor c = sigmoid(f + s.c * p_) * s.c + sigmoid(i) * tanh(g);
    return {sigmoid(o + c * p_) * tanh(c), c};
  }

 private:
  Parameter &W_, &R_, &p_, &g_;
  Index hidden_;
};

std::vector<Parameter*> pointers(Module& m) {
  std::vector<Parameter*> out;
  for (auto& p : m.parameters()) out.push_back(p.parameter);
  return out;
}

// What breaks symmetry: a sum with weights.
Tensor weighted(Tensor x) { return sum(x * x.tape().constant(random_array(x.shape(), 99))); }

template <class C>
void check_cell(C cell) {
  const std::vector<Array> x{random_array(Shape{T, N, I}, 3)};
  const auto training = [&](Tape& tape, const std::vector<Tensor>& in) {
    const auto states = unroll(cell, in[0], cell.zero_state(tape, N));
    const Tensor loss = weighted(outputs(cell, states));
    backward(loss);
    return std::vector{loss, states.back().h};
  };
  const std::vector<Parameter*> parameters = pointers(cell);
  CHECK(disagreement(training, x, parameters) < 3e-6);
  for (Pass p : all_passes) {
    CHECK(disagreement(training, x, parameters, {.passes = p}) < 3e-6);
    CHECK(disagreement(training, x, parameters, {.passes = Passes::all() - p}) < 3e-6);
  }
  // Gradients that are recorded are sums in a defined order, which the passes that keep bits keep.
  const auto recorded = [&](Tape& tape, const std::vector<Tensor>& in) {
    const auto states = unroll(cell, in[0], cell.zero_state(tape, N));
    std::vector<Operand> wanted{in[0]};
    for (Parameter* p : parameters) wanted.emplace_back(*p);
    return grad(weighted(outputs(cell, states)), wanted);
  };
  CHECK(disagreement(recorded, x, {}, {.passes = Passes::exact()}) == 0);
  CHECK(disagreement(recorded, x, {}) < 3e-6);
}

TEST_CASE("every cell does the same compiled, bit for bit with the passes that keep bits") {
  Rng rng(7);
  SUBCASE("lstm") { check_cell(LstmCell(I, H, rng)); }
  SUBCASE("gru, reset after") { check_cell(GruCell(I, H, rng)); }
  SUBCASE("gru, reset before") { check_cell(GruCell(I, H, rng, {.reset = GruOptions::Reset::before})); }
  SUBCASE("tanh rnn") { check_cell(RnnCell(I, H, rng)); }
  SUBCASE("minimal gated unit") { check_cell(Mgu(I, H, rng)); }
  SUBCASE("peepholes and layer norm") { check_cell(PeepholeNormLstm(I, H, rng)); }
}

TEST_CASE("two layers, both directions, dropout between them, indices in and cross entropy out") {
  Rng rng(9);
  const LstmCell a(H, H, rng), back(H, H, rng);
  GruCell b(2 * H, H, rng);
  Parameter table("table", random_array(Shape{10, H}, 1)), out("out", random_array(Shape{H, 10}, 2));
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
    const Tensor x = dropout(lookup(table, in[1]), 0.3);
    const auto there = unroll(a, x, a.zero_state(tape, N));
    const auto here = unroll(back, flip(x, 0), back.zero_state(tape, N));
    const Tensor both = concat({outputs(a, there), flip(outputs(back, here), 0)}, 2);
    const auto top = unroll(b, dropout(both, 0.3), b.zero_state(tape, N));
    const Tensor logits = matmul(outputs(b, top), out);
    const Tensor loss = cross_entropy(reshape(logits, {T * N, 10}), reshape(in[2], {T * N}));
    backward(loss);
    return std::vector{loss, top.back().h * in[0]};
  };
  Array indices(Shape{T, N}, DType::i32), targets(Shape{T, N}, DType::i32);
  for (Index i = 0; i < T * N; ++i) {
    indices.span<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i * 7 % 10);
    targets.span<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i * 3 % 10);
  }
  const std::vector<Array> inputs{random_array(Shape{N, H}, 4), indices, targets};
  const std::vector<Parameter*> parameters{&table, &out};
  CHECK(disagreement(f, inputs, parameters) < 3e-6);
  for (Pass p : all_passes) CHECK(disagreement(f, inputs, parameters, {.passes = Passes::all() - p}) < 3e-6);
}

/// Compiled: the sum of all outputs over x, its gradient in the parameters and in x. The cell must stay.
template <class C>
auto training_step(const C& cell, const Array& x) {
  return compile(
      [&cell](Tape& tape, Tensor in) {
        const Tensor loss = sum(outputs(cell, unroll(cell, in, cell.zero_state(tape, N))));
        backward(loss);
        return std::pair(loss, grad(loss, in));
      },
      x);
}

TEST_CASE("products of many steps become few") {
  Rng rng(3);
  const auto count = [&](const auto& cell, auto step) {
    const Array x = random_array(Shape{T, N, I}, 3);
    auto compiled = training_step(cell, x);
    compiled(x);
    return products_of(compiled) - step * T;
  };
  CHECK(count(LstmCell(I, H, rng), 2) <= 4);
  CHECK(count(GruCell(I, H, rng), 2) <= 4);
  CHECK(count(RnnCell(I, H, rng), 2) <= 4);
  CHECK(count(Mgu(I, H, rng), 4) <= 5);
  CHECK(count(GruCell(I, H, rng, {.reset = GruOptions::Reset::before}), 4) <= 5);
  CHECK(count(PeepholeNormLstm(I, H, rng), 2) <= 4);
}

TEST_CASE("gradients that one product wants side by side, and others each by itself, stand in one place") {
  Rng rng(4);
  const auto check = [&](const auto& cell) {
    const Array x = random_array(Shape{T, N, I}, 3);
    auto step = training_step(cell, x);
    const std::string said = step.explain();
    CAPTURE(said);
    CHECK(said.find(" 0 copies") != std::string::npos);
    CHECK(said.find("concat") == std::string::npos);
  };
  check(Mgu(I, H, rng));
  check(GruCell(I, H, rng, {.reset = GruOptions::Reset::before}));
}

TEST_CASE("a bias on the products of many steps is added in the kernels of the gates") {
  constexpr Index steps = 40;
  Rng rng(4);
  const auto kernels = [&](const auto& cell) {
    const Array x = random_array(Shape{steps, N, I}, 3);
    return compile(
               [&](Tape& tape, Tensor in) { return sum(outputs(cell, unroll(cell, in, cell.zero_state(tape, N)))); }, x)
        .kernels();
  };
  CHECK(kernels(LstmCell(I, H, rng)) == steps);
  CHECK(kernels(RnnCell(I, H, rng)) == steps);
  CHECK(kernels(GruCell(I, H, rng)) == steps);
  CHECK(kernels(Mgu(I, H, rng)) == 2 * steps);
}

TEST_CASE("results do not depend on the number of threads") {
  Rng rng(5);
  const LstmCell cell(64, 128, rng);
  const Array x = random_array(Shape{4, 64, 64}, 3);
  std::vector<Array> first;
  for (int n : {1, 2, 3}) {
    set_threads(n);
    auto step =
        compile([&](Tape& tape,
                    Tensor in) { return grad(sum(outputs(cell, unroll(cell, in, cell.zero_state(tape, 64)))), in); },
                x);
    first.push_back(step(x).array());
  }
  set_threads(1);
  CHECK(first[0] == first[1]);
  CHECK(first[0] == first[2]);
}

}  // namespace
}  // namespace rw
