#include <doctest/doctest.h>

#include <rewind/models/any_cell.h>
#include <rewind/models/gru_cell.h>
#include <rewind/models/lstm_cell.h>
#include <rewind/models/rnn_cell.h>
#include <rewind/models/stack.h>
#include <rewind/models/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

#include "differences.h"

using namespace rw;
using rw::test::asymmetric;

namespace {

constexpr Index T = 4, N = 2, I = 3, H = 5;

Array sequence(Index steps = T, Index width = I) {
  Rng rng(7);
  return uniform(rng, {steps, N, width}, -1, 1);
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.array().to_vector<double>(), y = b.array().to_vector<double>();
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// A user's cell: DESIGN's minimal gated unit, and one that keeps a history in its state.
class MguCell : public Module {
 public:
  struct State {
    Tensor h;
  };
  MguCell(Index in, Index hidden, Rng& rng)
      : W_(param("W", glorot(rng, in, 2 * hidden))),
        U_(param("U", orthogonal(rng, hidden))),
        V_(param("V", orthogonal(rng, hidden))),
        b_(param("b", zeros(2 * hidden))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(zeros(batch, hidden_))}; }
  State step(Tensor x, State s) const {
    auto [zf, zn] = split<2>(matmul(x, W_) + b_);
    Tensor f = sigmoid(zf + matmul(s.h, U_));
    Tensor n = tanh(zn + matmul(f * s.h, V_));
    return {s.h + f * (n - s.h)};
  }

 private:
  Parameter &W_, &U_, &V_, &b_;
  Index hidden_;
};
static_assert(Cell<MguCell> && !ProjectedCell<MguCell>);

struct DelayCell {
  struct State {
    std::array<Tensor, 2> past;
    std::vector<Tensor> sums;
  };
  State zero_state(Tape& tape, Index batch) const {
    const Tensor zero = tape.constant(0.0, {batch, I});
    return {{zero, zero}, {zero}};
  }
  State step(Tensor x, const State& s) const { return {{x, s.past[0]}, {s.sums[0] + x}}; }
  Tensor output(const State& s) const { return s.past[1]; }
};
static_assert(Cell<DelayCell>);

Stack<LstmCell> two_layers(Rng& rng, double dropout = 0) {
  std::vector<LstmCell> layers;
  layers.emplace_back(I, H, rng);
  layers.emplace_back(H, H + 1, rng);
  return Stack<LstmCell>(std::move(layers), {.dropout = dropout});
}

}  // namespace

TEST_CASE("unroll is a loop over step") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array x = sequence();
  Tape tape;
  const Tensor all = tape.constant(x);
  const auto states = unroll(cell, all, cell.zero_state(tape, N));
  REQUIRE(states.size() == T);
  auto state = cell.zero_state(tape, N);
  for (Index t = 0; t < T; ++t) {
    state = cell.step(select(all, 0, t), state);
    CHECK(distance(states[static_cast<std::size_t>(t)].h, state.h) < 1e-6);
    CHECK(distance(states[static_cast<std::size_t>(t)].c, state.c) < 1e-6);
  }
  const Tensor y = outputs(states);
  CHECK(y.shape() == Shape{T, N, H});
  CHECK(distance(select(y, 0, -1), states.back().h) == 0);
  CHECK(distance(y, outputs(cell, states)) == 0);
  CHECK(unroll(cell, tape.constant(sequence(0)), cell.zero_state(tape, N)).empty());
  CHECK_THROWS_AS(outputs(std::vector<LstmCell::State>()), Error);
}

TEST_CASE("every op of a step stands in the cell's scope and the step's") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape;
  const auto states = unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N));
  CHECK(tape.scope_path(tape.node(states[3].h.index()).scope) == "lstm/t=3");
  CHECK(tape.scope_path(tape.node(states[0].c.index()).scope) == "lstm/t=0");
  const auto wrong = cell.zero_state(tape, N + 1);
  try {
    unroll(cell, tape.constant(sequence()), wrong);
    FAIL("a state of another batch was taken");
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find("in lstm/t=0") != std::string::npos);
  }
  CHECK_THROWS_AS(unroll(cell, tape.constant(zeros(T)), cell.zero_state(tape, N)), Error);
  CHECK_THROWS_AS(unroll(cell, tape.constant(sequence(T, I + 1)), cell.zero_state(tape, N)), Error);
}

TEST_CASE("an index stands for the one-hot row of its value") {
  Rng rng(1);
  const GruCell cell(I, H, rng);
  const Array indices({0, 2, 1, 1, 2, 0, 0, 1}, {T, N});
  const auto loss = [&](Tensor x) { return asymmetric(outputs(unroll(cell, x, cell.zero_state(x.tape(), N)))); };
  cell.to(DType::f64);
  Tape tape(DType::f64);
  const Tensor by_index = loss(tape.constant(indices)), by_row = loss(one_hot(tape.constant(indices), I));
  CHECK(by_index.item() == doctest::Approx(by_row.item()).epsilon(1e-13));
  CHECK(distance(grad(by_index, cell.parameter("W")), grad(by_row, cell.parameter("W"))) < 1e-13);
  CHECK_THROWS_AS(loss(tape.constant(Array({0, 1, 2, 3}, {2, 2}))), Error);
}

TEST_CASE("gradients reach the initial state and the input") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape(DType::f64);
  const Tensor x = tape.variable(sequence()), h = tape.variable(full({N, H}, 0.1));
  const auto states = unroll(cell, x, {.h = h, .c = h});
  const auto g = grad(asymmetric(states.back().h), {x, h});
  CHECK(g[0].shape() == x.shape());
  for (const double v : g[0].array().to_vector<double>()) CHECK(v != 0);
  for (const double v : g[1].array().to_vector<double>()) CHECK(v != 0);
}

TEST_CASE("a user's cell works as the library's do") {
  Rng rng(1);
  const MguCell cell(I, H, rng);
  const Array x = sequence();
  const auto loss = [&](Tape& tape) {
    return asymmetric(outputs(unroll(cell, tape.constant(x), cell.zero_state(tape, N))));
  };
  CHECK(test::first_order_error(cell, loss) < 1e-8);
  CHECK(test::second_order_error(cell, loss) < 1e-7);
}

TEST_CASE("states of arrays and vectors, and cells that are no modules") {
  const DelayCell cell;
  Tape tape;
  const Array x = sequence();
  const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, N));
  const Tensor y = outputs(cell, states);
  CHECK(distance(select(y, 0, 3), select(tape.constant(x), 0, 2)) == 0);
  CHECK(tensor_count(states[0]) == 3);
  int visited = 0;
  for_each_tensor(states[0], [&](const Tensor& t) { visited += t.valid() ? 1 : 0; });
  CHECK(visited == 3);

  const SavedState saved = save_state(states.back());
  REQUIRE(saved.size() == 3);
  Tape other;
  const auto back = restore_state(other, saved, cell.zero_state(other, N));
  CHECK(back.sums[0].array() == states.back().sums[0].array());
  CHECK(back.past[1].array() == states.back().past[1].array());
  CHECK_THROWS_WITH_AS(restore_state(other, SavedState(2), cell.zero_state(other, N)),
                       "a saved state of 2 tensors does not fit a state of 3", Error);
  CHECK_THROWS_WITH_AS(restore_state(other, saved, cell.zero_state(other, N + 1)),
                       "tensor 0 of a saved state is (2, 3); the cell's is (3, 3)", Error);
}

TEST_CASE("detach_state cuts the graph") {
  Rng rng(1);
  const RnnCell cell(I, H, rng);
  Tape tape;
  const auto state = unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N)).back();
  CHECK(state.h.needs_grad());
  const auto cut = detach_state(state);
  CHECK_FALSE(cut.h.needs_grad());
  CHECK(distance(cut.h, state.h) == 0);
}

TEST_CASE("a stack unrolled layer by layer is the stack step by step") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  stack.to(DType::f64);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence());
  const auto states = unroll(stack, x, stack.zero_state(tape, N));
  auto state = stack.zero_state(tape, N);
  for (Index t = 0; t < T; ++t) state = stack.step(select(x, 0, t), state);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    CHECK(distance(states.back().layers[layer].h, state.layers[layer].h) < 1e-14);
    CHECK(distance(states.back().layers[layer].c, state.layers[layer].c) < 1e-14);
  }
  CHECK(outputs(stack, states).shape() == Shape{T, N, H + 1});
  CHECK(tape.scope_path(tape.node(states[2].layers[1].h.index()).scope) == "stack/layer1/t=2");
  CHECK(stack.parameters()[3].name == "layer1.W");
}

TEST_CASE("a stack passes the check of gradients, of both orders") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  const Array x = sequence(2);
  const auto loss = [&](Tape& tape) {
    const auto states = unroll(stack, tape.constant(x), stack.zero_state(tape, N));
    return asymmetric(outputs(stack, states)) + asymmetric(states.back().layers[0].c);
  };
  CHECK(test::first_order_error(stack, loss) < 1e-8);
  CHECK(test::second_order_error(stack, loss) < 1e-7);
}

TEST_CASE("dropout acts between layers, in training only") {
  Rng rng(1);
  auto stack = two_layers(rng, 0.5);
  const Array x = sequence();
  const auto run = [&](std::uint64_t seed, bool by_steps) {
    Tape tape(TapeOptions{.seed = seed});
    const Tensor in = tape.constant(x);
    auto state = stack.zero_state(tape, N);
    if (!by_steps) return unroll(stack, in, state).back().layers[1].h.array();
    for (Index t = 0; t < T; ++t) state = stack.step(select(in, 0, t), state);
    return state.layers[1].h.array();
  };
  for (const bool by_steps : {false, true}) {
    CHECK(run(1, by_steps) == run(1, by_steps));
    CHECK_FALSE(run(1, by_steps) == run(2, by_steps));
  }
  stack.eval();
  CHECK(run(1, false) == run(2, false));
  CHECK_THROWS_AS(two_layers(rng, 1), Error);
  CHECK_THROWS_AS(Stack<LstmCell>({}), Error);
}

TEST_CASE("clones of cells and stacks give the same outputs") {
  Rng rng(1);
  const auto stack = two_layers(rng);
  const auto copy = stack.clone();
  const GruCell gru(I, H, rng, {.bias = Bias::two, .reset = GruOptions::Reset::before});
  const GruCell gru_copy = gru.clone();
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(distance(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))),
                 outputs(copy, unroll(copy, x, copy.zero_state(tape, N)))) == 0);
  CHECK(distance(outputs(unroll(gru, x, gru.zero_state(tape, N))),
                 outputs(unroll(gru_copy, x, gru_copy.zero_state(tape, N)))) == 0);
}

TEST_CASE("AnyCell is the cell it holds, under the same names") {
  Rng a(1), b(1);
  const LstmCell plain(I, H, a);
  const AnyCell any = make_cell("lstm", I, H, b);
  CHECK(any.name() == "lstm");
  CHECK(any.parameters()[0].name == "W");
  CHECK(any.parameter_count() == plain.parameter_count());
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const Tensor y = outputs(plain, unroll(plain, x, plain.zero_state(tape, N)));
  const AnyCell copy = any.clone();
  for (const AnyCell* cell : {&any, &copy})
    CHECK(distance(outputs(*cell, unroll(*cell, x, cell->zero_state(tape, N))), y) == 0);
  const auto s = any.step(select(x, 0, 0), any.zero_state(tape, N));
  CHECK(distance(any.output(s), select(y, 0, 0)) < 1e-6);
}

TEST_CASE("AnyCell holds cells without a projection, and stacks") {
  Rng rng(1);
  const AnyCell mgu{MguCell(I, H, rng)}, stack{two_layers(rng)};
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(outputs(mgu, unroll(mgu, x, mgu.zero_state(tape, N))).shape() == Shape{T, N, H});
  CHECK(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))).shape() == Shape{T, N, H + 1});
  CHECK_THROWS_AS(mgu.clone(), Error);
  std::vector<AnyCell> layers;
  layers.push_back(make_cell("gru", I, H, rng));
  layers.push_back(make_cell("rnn", H, H, rng));
  const Stack<AnyCell> mixed(std::move(layers));
  CHECK(outputs(mixed, unroll(mixed, x, mixed.zero_state(tape, N))).shape() == Shape{T, N, H});
  CHECK(mixed.parameters()[0].name == "layer0.W");
}

TEST_CASE("cells by name") {
  Rng rng(1);
  for (const std::string_view name : cell_names()) {
    CAPTURE(std::string(name));
    const AnyCell cell = make_cell(name, I, H, rng, {.bias = Bias::two});
    Tape tape;
    CHECK(outputs(cell, unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N))).shape() == Shape{T, N, H});
    CHECK(cell.parameter("br").shape() == cell.parameter("b").shape());
  }
  CHECK_THROWS_WITH_AS(make_cell("elman", I, H, rng),
                       "no cell 'elman'; there are: lstm, gru, gru-before, rnn, rnn-relu", Error);
  CHECK_THROWS_WITH_AS(make_cell("lstm", I, 0, rng), "lstm: hidden size must be at least 1, not 0", Error);
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
