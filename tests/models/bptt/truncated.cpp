#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/cells/learned_start.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

using namespace rw;

namespace {

constexpr Index N = 3, I = 2, H = 4;

Array piece(Index steps, std::uint64_t seed) {
  Rng rng(seed);
  return uniform(rng, {steps, N, I}, -1, 1);
}

Tensor full_of_ones(Tape& tape) { return tape.constant(1, {64}); }

}  // namespace

TEST_CASE("chunks give the values of one long run, and gradients that stop at the cut") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array first = piece(3, 1), second = piece(2, 2);

  TruncatedBptt bptt(cell, N);
  bptt.unroll(first);
  const auto& states = bptt.unroll(second);
  REQUIRE(states.size() == 2);
  backward(sum(states.back().h));
  const Array truncated = cell.parameter("R").grad();

  Tape tape;
  const auto before = unroll(cell, tape.constant(first), cell.zero_state(tape, N));
  cell.zero_grad();
  const auto after = unroll(cell, tape.constant(second), detach_state(before.back()));
  CHECK(after.back().h.array() == states.back().h.array());
  backward(sum(after.back().h));
  CHECK(cell.parameter("R").grad() == truncated);
}

TEST_CASE("handles of an earlier chunk are stale, so the graph cannot reach back") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N);
  const Tensor old = bptt.unroll(piece(2, 1)).back().h;
  CHECK(old.valid());
  bptt.unroll(piece(2, 2));
  CHECK_FALSE(old.valid());
}

TEST_CASE("reset begins anew, for one stream or for all") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N);
  const auto zero = bptt.carried();
  bptt.unroll(piece(2, 1));
  const auto carried = bptt.carried();
  REQUIRE(carried.size() == 2);
  bptt.reset(1);
  for (std::size_t i = 0; i < 2; ++i)
    for (Index n = 0; n < N; ++n)
      for (Index k = 0; k < H; ++k) CHECK(bptt.carried()[i].at({n, k}) == (n == 1 ? 0.0 : carried[i].at({n, k})));
  bptt.reset();
  CHECK(bptt.carried() == zero);
  CHECK_THROWS_WITH_AS(bptt.reset(3), "truncated bptt: there is no stream 3 in a batch of 3", Error);
}

TEST_CASE("the carried state can be stored and set") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt a(cell, N), b(cell, N);
  a.unroll(piece(2, 1));
  b.set_carried(a.carried());
  const Array x = piece(2, 2);
  CHECK(a.unroll(x).back().h.array() == b.unroll(x).back().h.array());
  CHECK_THROWS_AS(b.set_carried({}), Error);
  CHECK_THROWS_WITH_AS(b.set_carried({zeros(N, H), zeros(N, H + 1)}),
                       "tensor 1 of a saved state is f32 (3, 5); the cell's is f32 (3, 4)", Error);
}

TEST_CASE("a chunk that throws leaves the carried state as it was") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N);
  bptt.unroll(piece(2, 1));
  const auto carried = bptt.carried();
  CHECK_THROWS_AS(bptt.unroll(zeros(2, N, I + 1)), Error);
  CHECK(bptt.carried() == carried);
}

TEST_CASE("chunks of another form return what the function returns beside the state") {
  Rng rng(1);
  std::vector<LstmCell> layers;
  layers.emplace_back(I, H, rng);
  layers.emplace_back(H, H, rng);
  const Stack<LstmCell> stack(std::move(layers));
  TruncatedBptt bptt(stack, N, {.dtype = DType::f64});
  CHECK(bptt.tape().dtype() == DType::f64);
  const double loss = bptt.chunk([&](Tape& tape, const Stack<LstmCell>::State& state) {
    const auto states = unroll(stack, tape.constant(piece(2, 1)), state);
    const Tensor l = sum(outputs(stack, states));
    backward(l);
    return std::pair(l.item(), states.back());
  });
  CHECK(loss != 0);
  CHECK(bptt.carried().size() == 4);
  CHECK(stack.parameter("layer0.W").grad().at({0, 0}) != 0);
}

// ---- BPTT(k1, k2) ---------------------------------------------------------------------------------------------------

namespace {

Array steps(const Array& x, Index from, Index count) {
  Tape tape(x.dtype());
  return slice(tape.constant(x), 0, from, count).array();
}

}  // namespace

TEST_CASE("k1 = k2 is the chunk itself") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt plain(cell, N), window(cell, N, BpttWindow{.k1 = 4, .k2 = 4});
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    const auto run = [&](auto& bptt) {
      cell.zero_grad();
      const auto& states = bptt.unroll(piece(4, seed));
      backward(sum(outputs(states)));
      return std::pair(states.back().h.array(), cell.parameter("R").grad());
    };
    CHECK(run(plain) == run(window));
    CHECK(plain.carried() == window.carried());
  }
}

TEST_CASE("with k2 above k1 the gradient is that of the last k2 steps, from the state before them") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array x = piece(14, 5);
  constexpr Index k1 = 2, k2 = 5;
  TruncatedBptt bptt(cell, N, BpttWindow{.k1 = k1, .k2 = k2});
  for (Index t = 0; t < 14; t += k1) {
    CAPTURE(t);
    const auto& states = bptt.unroll(steps(x, t, k1));
    REQUIRE(states.size() == k1);
    cell.zero_grad();
    backward(sum(outputs(states)));
    const Array found = cell.parameter("R").grad();

    const Index first = std::max<Index>(0, t + k1 - k2);
    Tape tape;
    const auto all = unroll(cell, tape.constant(steps(x, 0, t + k1)), cell.zero_state(tape, N));
    const auto start = first == 0 ? cell.zero_state(tape, N) : detach_state(all[static_cast<std::size_t>(first - 1)]);
    const auto expected = unroll(cell, tape.constant(steps(x, first, t + k1 - first)), start);
    cell.zero_grad();
    backward(sum(expected.back().h) + sum(expected[expected.size() - 2].h));
    CHECK(states.back().h.array().at({1, 2}) == doctest::Approx(expected.back().h.array().at({1, 2})));
    const Array& wanted = cell.parameter("R").grad();
    for (Index i = 0; i < H; ++i)
      for (Index j = 0; j < 4 * H; ++j)
        CHECK(found.at({i, j}) == doctest::Approx(wanted.at({i, j})).epsilon(1e-4).scale(1e-3));
  }
}

TEST_CASE("with k2 below k1 all states are handed out, and gradients flow through the last k2 steps") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N, BpttWindow{.k1 = 6, .k2 = 2});
  const auto& states = bptt.unroll(piece(6, 1));
  REQUIRE(states.size() == 6);
  CHECK_FALSE(states[3].h.needs_grad());
  CHECK(states[4].h.needs_grad());
  cell.zero_grad();
  backward(sum(states.back().h));
  const Array found = cell.parameter("R").grad();
  Tape tape;
  const auto before = unroll(cell, tape.constant(steps(piece(6, 1), 0, 4)), cell.zero_state(tape, N));
  const auto after = unroll(cell, tape.constant(steps(piece(6, 1), 4, 2)), detach_state(before.back()));
  cell.zero_grad();
  backward(sum(after.back().h));
  CHECK(cell.parameter("R").grad().at({1, 2}) == doctest::Approx(found.at({1, 2})));
}

TEST_CASE("a stream that begins anew within the window is computed again as it was, and its gradient ends there") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array x = piece(12, 3);
  TruncatedBptt window(cell, N, BpttWindow{.k1 = 2, .k2 = 7}), plain(cell, N);
  for (Index t = 0; t < 12; t += 2) {
    CAPTURE(t);
    if (t == 4 || t == 8) {
      window.reset(t == 4 ? 1 : 2);
      plain.reset(t == 4 ? 1 : 2);
    }
    const auto& states = window.unroll(steps(x, t, 2));
    CHECK(plain.unroll(steps(x, t, 2)).size() == states.size());
    for (std::size_t i = 0; i < 2; ++i)
      for (Index n = 0; n < N; ++n)
        CHECK(window.carried()[i].at({n, 2}) == doctest::Approx(plain.carried()[i].at({n, 2})).epsilon(1e-5));
  }
  // Only stream 2 counts, which began anew 4 steps ago: R gets no gradient from what was before.
  TruncatedBptt alone(cell, N, BpttWindow{.k1 = 4, .k2 = 4});
  alone.unroll(steps(x, 4, 4));
  alone.reset(2);
  const auto gradient = [&](const Tensor& h) {
    cell.zero_grad();
    backward(sum(select(h, 0, 2)));
    return cell.parameter("R").grad().at({1, 2});
  };
  TruncatedBptt again(cell, N, BpttWindow{.k1 = 2, .k2 = 7});
  double found = 0;
  for (const Index t : {4, 6, 8, 10}) {
    if (t == 8) again.reset(2);
    found = gradient(again.unroll(steps(x, t, 2)).back().h);
  }
  CHECK(found == doctest::Approx(gradient(alone.unroll(steps(x, 8, 4)).back().h)).epsilon(1e-4));
}

TEST_CASE("a window that makes no sense, or is asked for what it cannot do") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  using Bptt = TruncatedBptt<LstmCell>;
  CHECK_THROWS_WITH_AS(Bptt(cell, N, BpttWindow{.k1 = 0, .k2 = 3}),
                       "truncated bptt: k1 is 0 and k2 is 3: both must be 1 or more", Error);
  CHECK_THROWS_AS(Bptt(cell, N, BpttWindow{.k1 = 3, .k2 = -1}), Error);
  Bptt bptt(cell, N, BpttWindow{.k1 = 3, .k2 = 5});
  bptt.unroll(piece(3, 1));
  const auto carried = bptt.carried();
  CHECK_THROWS_WITH_AS(bptt.unroll(piece(4, 1)), "truncated bptt: a chunk of 4 steps: k1 is 3, so it must have 1 to 3",
                       Error);
  CHECK_THROWS_AS(bptt.unroll(zeros(3, N, I + 1)), Error);
  CHECK_THROWS_WITH_AS(bptt.chunk([](Tape&, const LstmCell::State& s) { return s; }),
                       "truncated bptt: a window needs unroll(x), which can compute earlier steps again: chunk(f) "
                       "cannot",
                       Error);
  CHECK(bptt.carried() == carried);
  bptt.unroll(piece(2, 2));  // a shorter chunk is fine
  bptt.set_carried(carried);
  TruncatedBptt other(cell, N);
  other.set_carried(carried);
  CHECK(bptt.unroll(piece(3, 9)).back().h.array() == other.unroll(piece(3, 9)).back().h.array());
}

TEST_CASE("no two chunks draw the same dropout masks, and one that goes on from a checkpoint draws those to come") {
  Rng rng(1);
  const Stack stack({LstmCell(I, H, rng), LstmCell(H, H, rng)}, {.dropout = 0.5});
  const Array x = piece(3, 1);
  const auto mask_and_gradient = [&](auto& bptt) {
    const auto& states = bptt.unroll(x);
    const Tensor h = dropout(full_of_ones(bptt.tape()), 0.5);
    Array mask = h.array();
    backward(sum(outputs(stack, states)) + 0 * sum(h));
    std::vector<Array> all{std::move(mask)};
    for (const NamedParameter& p : stack.parameters()) all.push_back(p.parameter->grad());
    stack.zero_grad();
    return all;
  };
  TruncatedBptt whole(stack, N);
  std::vector<std::vector<Array>> steps;
  SavedState carried;
  std::uint64_t step = 0;
  Index time = 0;
  for (int i = 0; i < 4; ++i) {
    if (i == 2) carried = whole.carried(), step = whole.tape().next_step(), time = whole.time();
    steps.push_back(mask_and_gradient(whole));
  }
  for (std::size_t i = 1; i < 4; ++i) CHECK_FALSE(steps[i][0] == steps[i - 1][0]);
  TruncatedBptt later(stack, N);
  later.set_carried(carried, time);
  later.tape().set_step(step);
  CHECK(later.time() == 6);
  for (std::size_t i = 2; i < 4; ++i) CHECK(mask_and_gradient(later) == steps[i]);
}

TEST_CASE("a chunk of no steps leaves the carried state, and what begins there is still the cell's own") {
  Rng rng(1);
  const LearnedStart cell(LstmCell(I, H, rng));
  for (const bool window : {false, true}) {
    TruncatedBptt bptt = window ? TruncatedBptt(cell, N, BpttWindow{.k1 = 2, .k2 = 4}) : TruncatedBptt(cell, N);
    const auto& none = bptt.unroll(piece(0, 1));
    CHECK(none.empty());
    CHECK(outputs(none).shape() == Shape{0, N, H});
    cell.zero_grad();
    backward(sum(bptt.unroll(piece(2, 1)).back().h));
    CHECK_FALSE(cell.parameter("start0").grad() == Array(Shape{H}));
    const SavedState carried = bptt.carried();
    CHECK(save_state(bptt.unroll(piece(0, 1)).back()) == carried);
    CHECK(bptt.carried() == carried);
    CHECK(bptt.time() == 2);
  }
}
