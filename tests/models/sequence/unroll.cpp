#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/bptt/checkpointed.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gates.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/learned_start.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/cells/zoneout.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/feed_back.h>
#include <rewind/models/sequence/recurrent.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/reduce.h>

#include "../sequence.h"

using namespace rw;
using namespace rw::test;

namespace {

// A cell that is no module and keeps a history.
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
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(zeros(T)), cell.zero_state(tape, N)),
                       "unroll: a sequence is [T, N, features] or [T, N] of indices, not (4)", Error);
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(sequence(T, I + 1)), cell.zero_state(tape, N)),
                       "[matmul] inner dimensions differ: (4, 2, 4) x (3, 20), in lstm", Error);
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N + 1)),
                       "[unroll] a state (3, 5) of batch 3 does not fit a sequence (4, 2, 3) of batch 2"
                       " (sequences are time-major: [T, N, features]), in lstm",
                       Error);
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
  const UgrnnCell cell(I, H, rng);
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

TEST_CASE("no steps: no states, the start as the last one, an empty output") {
  Rng rng(1);
  const auto check = [&](const auto& layer, Index out) {
    CAPTURE(layer.name());
    Tape tape;
    const Tensor x = tape.constant(zeros(0, N, I));
    const auto start = layer.zero_state(tape, N);
    for (const bool reverse : {false, true}) {
      const UnrollOptions run{.reverse = reverse, .lengths = tape.constant(Array(Shape{N}, DType::i32))};
      for (const UnrollOptions& options : {UnrollOptions{.reverse = reverse}, run}) {
        const auto states = unroll(layer, x, start, options);
        CHECK(states.empty());
        CHECK(save_state(states.back()) == save_state(start));
        CHECK(save_state(states.front()) == save_state(start));
        CHECK(save_state(last_state(layer, states, options)) == save_state(start));
        const Tensor y = outputs(layer, states);
        CHECK(y.shape() == Shape{0, N, out});
        CHECK(sum(y).item() == 0);
      }
    }
    CHECK(outputs(layer, unroll(layer, x, layer.zero_state(tape, 1))).shape() == Shape{0, N, out});  // a start for all
  };
  check(LstmCell(I, H, rng), H);
  check(UgrnnCell(I, H, rng), H);
  check(two_layers(rng), H + 1);
  check(AnyCell(GruCell(I, H, rng)), H);
  check(Bidirectional(GruCell(I, H, rng), GruCell(I, 2, rng)), H + 2);
  check(Zoneout(GruCell(I, H, rng), {0.5}), H);

  const LstmCell cell(I, H, rng);
  Tape tape;
  const Tensor x = tape.constant(zeros(0, N, I));
  const auto start = cell.zero_state(tape, N);
  CHECK(outputs(unroll(cell, x, start)).shape() == Shape{0, N, H});
  CHECK(unroll_in_blocks(cell, x, start, 3).empty());
  CHECK(unroll_gates(cell, x, start).empty());
  const auto written = feed_back(cell, tape.constant(zeros(N, I)), start, 0, [](Tensor y) { return y; });
  CHECK(outputs(cell, written).shape() == Shape{0, N, H});
  CHECK(Recurrent(LstmCell(I, H, rng))(x).shape() == Shape{0, N, H});
  CHECK(Recurrent(LstmCell(I, H, rng), {.return_sequences = false})(x).shape() == Shape{N, H});

  auto compiled = compile(
      [&](Tape& t, Tensor in) {
        const auto states = unroll(cell, in, cell.zero_state(t, N));
        return std::pair(outputs(cell, states), states.back());
      },
      zeros(0, N, I));
  const auto [y, last] = compiled(zeros(0, N, I));
  CHECK(y.shape() == Shape{0, N, H});
  CHECK(last.h.array() == Array(Shape{N, H}));
  CHECK(compiled(sequence()).first.shape() == Shape{T, N, H});

  std::vector<LstmCell::State> none;
  CHECK_THROWS_AS(last_state(cell, none), Error);
}

TEST_CASE("gradients of no steps go to the start alone") {
  Rng rng(1);
  const LearnedStart cell(GruCell(I, H, rng));
  Tape tape;
  const auto states = unroll(cell, tape.constant(zeros(0, N, I)), cell.zero_state(tape, N));
  backward(sum(states.back().h) + sum(outputs(cell, states)));
  CHECK(cell.parameter("start0").grad() == full({H}, N));
  CHECK(cell.parameter("R").grad() == Array(cell.parameter("R").shape()));
}

namespace {

// A cell whose step gives its state another shape, or another type.
struct GrowingCell {
  int what = 0;
  struct State {
    Tensor first, second;
  };
  State zero_state(Tape& tape, Index batch) const {
    return {tape.constant(0, {batch, I}), tape.constant(0, {what == 2 ? 1 : batch, I})};
  }
  State step(Tensor x, State s) const {
    if (what == 0) return {x, concat({s.second, x}, -1)};
    if (what == 1) return {s.first, x.tape().constant(Array(s.second.shape(), DType::i32))};
    return {x + s.first, s.second + x};
  }
  Tensor output(const State& s) const { return s.first; }
};

}  // namespace

TEST_CASE("a step that changes its state's shape or type is refused; a state of one row grows to the batch") {
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto run = [&](int what) {
    const GrowingCell cell{what};
    return unroll(cell, x, cell.zero_state(tape, N));
  };
  CHECK_THROWS_WITH_AS(run(0),
                       "[unroll] a step changed tensor 1 of its state from f32 (2, 3) to f32 (2, 6): a state keeps its "
                       "shapes from step to step, in cell/t=0",
                       Error);
  CHECK_THROWS_WITH_AS(run(1),
                       "[unroll] a step changed tensor 1 of its state from f32 (2, 3) to i32 (2, 3): a state keeps its "
                       "shapes from step to step, in cell/t=0",
                       Error);
  CHECK(run(2).back().second.shape() == Shape{N, I});
  const GrowingCell cell{0};
  CHECK_THROWS_AS(feed_back(cell, at_step(x, 0), cell.zero_state(tape, N), 2, [](Tensor y) { return y; }), Error);
}

namespace {

// A clockwork: half of the state moves at every step, the other half at every second one (Koutnik et al., 2014).
class ClockCell : public Module {
 public:
  struct State {
    Tensor h, slow;
  };
  explicit ClockCell(Rng& rng)
      : Module("clock"), W_(param("W", glorot(rng, I, H))), R_(param("R", orthogonal(rng, H))) {}
  State zero_state(Tape& tape, Index batch) const {
    return {tape.constant(0, {batch, H}), tape.constant(0, {batch, H})};
  }
  State step(Tensor x, State s, Index t) const {
    const Tensor h = tanh(matmul(x, W_) + matmul(s.h, R_) + 0.5 * s.slow);
    return {h, t % 2 == 0 ? tanh(h + s.slow) : s.slow};
  }
  ClockCell clone() const {
    Rng unused(0);
    return cloned(ClockCell(unused), *this);
  }

 private:
  Parameter &W_, &R_;
};
static_assert(TimedCell<ClockCell> && TimedCell<Stack<ClockCell>> && TimedCell<Zoneout<ClockCell>>);

// Its input is projected to two parts, and its recurrent matrix is normalised, once for a sequence.
class NormalisedCell : public Module {
 public:
  struct State {
    Tensor h;
  };
  struct Projected {
    Tensor gate, value;
    Invariant R;
  };
  explicit NormalisedCell(Rng& rng)
      : Module("normalised"), W_(param("W", glorot(rng, I, 2 * H))), R_(param("R", glorot(rng, H, H))) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, H})}; }
  Projected project(Tensor x) const {
    const auto [gate, value] = split<2>(matmul(x, W_));
    const Tensor R = x.tape().leaf(R_);
    return {sigmoid(gate), value, R / (1 + sum(square(R)))};
  }
  State step(Tensor x, State s) const { return step_projected(project(x), s); }
  State step_projected(const Projected& p, State s) const {
    return {s.h + p.gate * (tanh(p.value + matmul(s.h, p.R)) - s.h)};
  }
  NormalisedCell clone() const {
    Rng unused(0);
    return cloned(NormalisedCell(unused), *this);
  }

 private:
  Parameter &W_, &R_;
};
static_assert(ProjectedCell<NormalisedCell>);

// The same states as a loop over `step`, whatever runs it.
template <class C>
void check_all_ways(const C& cell) {
  const Array x = sequence(6);
  Tape tape(DType::f64);
  const Tensor in = tape.constant(x);
  std::vector<typename C::State> right{cell.zero_state(tape, N)};
  for (Index t = 0; t < 6; ++t) right.push_back(step_at(cell, at_step(in, t), right.back(), t));
  const Tensor h = right.back().h;
  CHECK(distance(unroll(cell, in, right[0]).back().h, h) < 1e-14);
  CHECK(distance(unroll_in_blocks(cell, in, right[0], 4).back().h, h) < 1e-14);
  const AnyCell any(cell.clone());
  CHECK(distance(any.output(unroll(any, in, any.zero_state(tape, N)).back()), h) < 1e-14);
  const Zoneout zoneout(cell.clone(), {0});
  CHECK(distance(unroll(zoneout, in, right[0]).back().h, h) < 1e-14);
  const Stack stack({cell.clone()});
  CHECK(distance(outputs(stack, unroll(stack, in, stack.zero_state(tape, N))),
                 outputs(cell, unroll(cell, in, right[0]))) < 1e-14);
  auto compiled =
      compile([&](Tape& t, Tensor y) { return unroll(cell, y, cell.zero_state(t, N)).back().h; }, x.to(DType::f64));
  CHECK(distance(compiled(x.to(DType::f64)), h) < 1e-13);
  TruncatedBptt chunks(cell, N, {.dtype = DType::f64});
  chunks.unroll(slice(in, 0, 0, 3).array());
  CHECK(chunks.time() == 3);
  CHECK(distance(chunks.unroll(slice(in, 0, 3, 3).array()).back().h, h) < 1e-14);
  TruncatedBptt window(cell, N, {.k1 = 2, .k2 = 5}, {.dtype = DType::f64});
  for (Index t = 0; t < 6; t += 2) window.unroll(slice(in, 0, t, 2).array());
  CHECK(distance(tape.constant(window.carried()[0]), h) < 1e-14);

  const auto loss = [&](Tape& t) {
    return asymmetric(outputs(cell, unroll(cell, t.constant(x), cell.zero_state(t, N))));
  };
  CHECK(test::first_order_error(cell, loss) < 1e-8);
  cell.zero_grad();
  Tape plain;
  const auto states = unroll_in_blocks(cell, plain.constant(x), cell.zero_state(plain, N), 2);
  backward(asymmetric(states.back().h));
  const Array expected = cell.parameter("W").grad();
  cell.zero_grad();
  CheckpointedBptt checkpoints(cell, N, {.states = 2, .block = 2});
  checkpoints.backward(x, [](const auto& last) { return asymmetric(last.h); });
  CHECK(cell.parameter("W").grad() == expected);
}

}  // namespace

TEST_CASE("a cell that depends on the time, whatever runs it") {
  Rng rng(1);
  const ClockCell cell(rng);
  check_all_ways(cell);
  Tape tape;
  const AnyCell any(cell.clone());
  CHECK_THROWS_WITH_AS(any.step(tape.constant(zeros(N, I)), any.zero_state(tape, N)),
                       "cell 'clock' depends on the time: give it to the step, step(x, state, t)", Error);
  // In reverse the time is the position.
  const Tensor x = tape.constant(sequence());
  auto s = cell.zero_state(tape, N);
  const auto states = unroll(cell, x, s, {.reverse = true});
  for (Index t = T; t-- > 0;) s = cell.step(at_step(x, t), s, t);
  CHECK(distance(states.front().slow, s.slow) == 0);
}

TEST_CASE("project may give a struct, and values that are computed once for a sequence") {
  Rng rng(1);
  const NormalisedCell cell(rng);
  check_all_ways(cell);
  Tape tape;
  unroll(cell, tape.constant(sequence(50)), cell.zero_state(tape, N));
  int divisions = 0;
  for (NodeId i = 0; i < tape.size(); ++i) divisions += tape.node(i).info->name == "div" ? 1 : 0;
  CHECK(divisions == 1);
}
