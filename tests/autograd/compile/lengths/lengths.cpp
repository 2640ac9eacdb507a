#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/lengths/lengths.h>
#include <rewind/autograd/compile/lengths/plan_listing.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/core/threads.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../../../effort.h"
#include "../at_lengths.h"
#include "../hand_lstm.h"
#include "followers.h"

namespace rw {
namespace {

using namespace rw::test;
using namespace rw::test::sequences;

TEST_CASE("plans of lengths between others follow from them, with the same bits: cells") {
  Rng rng(1);
  const LstmCell lstm(I, H, rng);
  CHECK(followers(training(lstm), parameters_of(lstm)) == 5);
  const GruCell gru(I, H, rng);
  CHECK(followers(training(gru), parameters_of(gru)) == 5);
  const RnnCell rnn(I, H, rng);
  CHECK(followers(training(rnn), parameters_of(rnn)) == 5);
}

TEST_CASE("plans of lengths follow: both directions, layers, inference, dropout") {
  HandLstm a(I, H, 1), b(I, H, 7);
  const std::vector<Parameter*> both{&a.W, &a.R, &a.b, &b.W, &b.R, &b.b};
  const auto zero = [](Tape& tape) { return LstmState{tape.constant(0, Shape{N, H}), tape.constant(0, Shape{N, H})}; };
  const auto two_ways = [&](Tape& tape, Tensor x) {
    const auto forward = a.unroll(x, zero(tape));
    std::vector<Tensor> back;
    LstmState s = zero(tape);
    for (Index t = x.size(0); t-- > 0;) back.push_back((s = b.step(at(x, t), s)).h);
    const Tensor loss = sum_of_h(forward) + total(tanh(stack(back)));
    backward(loss);
    return loss;
  };
  CHECK(followers(two_ways, both) == 5);
  CHECK(followers([&](Tape& tape, Tensor x) { return a.unroll(x, zero(tape)).back().h; }, {}) == 5);
  const auto with_dropout = [&](Tape& tape, Tensor x) {
    LstmState s = zero(tape);
    for (Index t = 0; t < x.size(0); ++t) s = a.step(dropout(at(x, t), 0.5), s);
    backward(total(s.h));
    return s.h;
  };
  CHECK(followers(with_dropout, {&a.W, &a.R, &a.b}) == 5);
}

/// Threads for its lifetime.
struct WithThreads {
  explicit WithThreads(int n) { set_threads(n); }
  ~WithThreads() { set_threads(before); }
  int before = threads();
};

/// Two layers, whose products over many steps are cut into chunks.
struct TwoLayers {
  HandLstm lower{I, H, 1}, upper{H, H, 9};

  Tensor run(Tape& tape, Tensor x) {
    const auto zero = [&] { return LstmState{tape.constant(0, Shape{N, H}), tape.constant(0, Shape{N, H})}; };
    std::vector<Tensor> h;
    for (const LstmState& s : lower.unroll(x, zero())) h.push_back(s.h);
    const Tensor loss = sum_of_h(upper.unroll(stack(h), zero()));
    backward(loss);
    return loss;
  }
  auto function() {
    return [this](Tape& tape, Tensor x) { return run(tape, x); };
  }
  std::vector<Parameter*> parameters() { return {&lower.W, &lower.R, &lower.b, &upper.W, &upper.R, &upper.b}; }
};

// Where the pieces of a chunk are the same number, the plan of one length follows from others: 8 from 64 to 79 steps,
// and 12 from 96 to 111.
TEST_CASE("plans of lengths follow: products in chunks, kernels side by side") {
  TwoLayers model;
  for (const int n : {1, 2}) {
    CAPTURE(n);
    const WithThreads now(n);
    CHECK(followers(model.function(), model.parameters(), {64, 71, 96, 66, 100, 111, 68, 69, 110, 63},
                    {.branch_from = 0}) == 3);
  }
}

TEST_CASE("a length that follows and is called again and again is compiled with its lanes") {
  const WithThreads two(2);
  TwoLayers model;
  auto step = compile(model.function(), {.branch_from = 0, .check = SelfCheck::off}, sequence(64));
  for (const Index T : {64, 71, 66}) step(sequence(T));
  const std::vector<Array> first = run(step, sequence(68), model.parameters());
  REQUIRE(follows(step));
  for (int calls = 0; calls < 20; ++calls) CHECK(run(step, sequence(68), model.parameters()) == first);
  CHECK(!follows(step));
  CHECK(step.explain().find("it was called again and again") != std::string::npos);
  CHECK(step.explain().find("side by side: kernels of") != std::string::npos);
  run(step, sequence(69), model.parameters());
  CHECK(follows(step));
}

TEST_CASE("plans of lengths follow: columns of a wider matrix; products whose operands are needed no more") {
  Parameter W("W", random_array(Shape{I, 4 * I}, 1, 0.5));
  CHECK(followers(
            [&](Tape& tape, Tensor x) {
              const Tensor columns = slice(tape.leaf(W), 1, I, I);
              Tensor h = at(x, 0);
              for (Index t = 1; t < x.size(0); ++t) h = tanh(at(x, t) + matmul(h, columns));
              const Tensor loss = mean(square(h));
              backward(loss);
              return loss;
            },
            {&W}) >= 4);
  // Wider than a block of columns: a product that stood where its operand stands would read what it has written.
  const Array R = random_array(Shape{70, 70}, 2, 0.1);
  const auto f = [&](Tape& tape, Tensor x) {
    const Tensor matrix = tape.constant(R);
    Tensor h = select(x, 0, 0);
    for (Index t = 1; t < x.size(0); ++t) h = matmul(matmul(tanh(h + select(x, 0, t)), matrix), matrix);
    return sum(h);
  };
  const auto wide = [](Index T) { return random_array(Shape{T, 9, 70}, static_cast<std::uint64_t>(T)); };
  auto with = compile(f, {.check = SelfCheck::off}, wide(9));
  auto without = compile(f, {.passes = without_loops, .check = SelfCheck::off}, wide(9));
  for (const Index T : {9, 40, 65, 12}) CHECK(with(wide(T)).array() == without(wide(T)).array());
  CHECK(follows(with));
}

TEST_CASE("at lengths that were traced and at others plans do what the tape does: padded, in both directions") {
  Parameter W("W", random_array(Shape{I, H}, 1, 0.5)), R("R", random_array(Shape{H, H}, 2, 0.5)),
      V("V", random_array(Shape{H, H}, 3, 0.5));
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
    const Index T = in[0].size(0);
    Tensor h = tape.constant(0, Shape{N, H}), back = h;
    std::vector<Tensor> all;
    for (Index t = 0; t < T; ++t) {
      const auto advance = [&](Tensor state, const Parameter& U, Index step) {  // rows that are padded keep their state
        return where(at(in[1], step) > 0, tanh(matmul(at(in[0], step), W) + matmul(state, U)), state);
      };
      h = advance(h, R, t);
      back = advance(back, V, T - 1 - t);
      all.push_back(h * back);
    }
    const Tensor loss = mean(square(concat(all, 0))) + mean(back);
    backward(loss);
    return std::vector<Tensor>{loss, h, back};
  };
  const auto inputs = [](Index T) { return std::vector<Array>{sequence(T), random_array(Shape{T, N, 1}, 5)}; };
  const int before = threads();
  for (const int n : {1, 2, 3}) {
    set_threads(n);
    CHECK(disagreement_at({9, 40, 65, 12, 20, 39, 63, 64, 3, 1}, f, inputs, {&W, &R, &V}) < 1e-5);
  }
  set_threads(before);
}

TEST_CASE("lengths that grow one by one follow, or shrink: plans are made ahead of them") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const std::vector<Parameter*> parameters = parameters_of(cell);
  std::vector<Index> lengths(50);
  std::iota(lengths.begin(), lengths.end(), Index{12});
  CHECK(followers(training(cell), parameters, lengths) >= 40);
  std::reverse(lengths.begin(), lengths.end());
  CHECK(followers(training(cell), parameters, lengths) >= 40);
}

TEST_CASE("a length ahead may be none: a table of positions has an end") {
  Parameter table("table", random_array(Shape{40, I}, 5));
  const Array constants = random_array(Shape{40, I}, 6);
  const auto f = [&](Tape& tape, Tensor x) {
    const Tensor learnt = tape.leaf(table), given = tape.constant(constants);
    Tensor sum_of = sum(at(x, 0));
    for (Index t = 0; t < x.size(0); ++t)
      sum_of = tanh(sum_of + sum(at(x, t) * slice(learnt, 0, t, 1)) + sum(exp(slice(given, 0, t, 1))));
    backward(sum_of);
    return sum_of;
  };
  std::vector<Index> lengths(29);
  std::iota(lengths.begin(), lengths.end(), Index{12});  // to 40
  followers(f, {&table}, lengths);
  auto compiled = compile(f, {.check = SelfCheck::off}, sequence(12));
  for (const Index T : lengths) compiled(sequence(T));
  CHECK_THROWS_AS(compiled(sequence(41)), Error);
}

TEST_CASE("a batch of another size follows") {
  Parameter w("w", random_array(Shape{I, H}, 3));
  auto f = compile([&](Tape&, Tensor x) { return mean(square(matmul(x, w))); }, {.check = SelfCheck::off},
                   random_array(Shape{8, I}, 1));
  auto whole = compile([&](Tape&, Tensor x) { return mean(square(matmul(x, w))); },
                       {.passes = without_loops, .check = SelfCheck::off}, random_array(Shape{8, I}, 1));
  int count = 0;
  for (const Index n : {8, 40, 100, 17, 64, 99}) {
    const Array x = random_array(Shape{n, I}, 4);
    CHECK(f(x).array() == whole(x).array());
    count += follows(f) ? 1 : 0;
  }
  CHECK(count == 3);
}

TEST_CASE("a function that does something else at one length is seen to do so") {
  HandLstm lstm(I, H);
  const auto f = [&](Tape& tape, Tensor x) {
    LstmState s{tape.constant(0, Shape{N, H}), tape.constant(0, Shape{N, H})};
    for (Index t = 0; t < x.size(0); ++t) {
      s = lstm.step(at(x, x.size(0) == 34 && t == 17 ? 16 : t), s);
      if (x.size(0) == 30 && t == 17) s.h = s.h * 0.5;
      if (x.size(0) == 31 && t == 17) s.h = s.c;
    }
    const Tensor loss = total(s.h) / static_cast<double>(x.size(0) == 32 ? 7 : x.size(0));
    backward(loss);
    return loss;
  };
  CHECK(followers(f, {&lstm.W, &lstm.R, &lstm.b}, {9, 40, 65, 29, 30, 31, 32, 33, 34}) == 3);
}

TEST_CASE("numbers that follow no rule from step to step: compiled as a whole, and explain says so") {
  HandLstm lstm(I, H);
  const auto f = [&](Tape& tape, Tensor x) {
    LstmState s{tape.constant(0, Shape{N, H}), tape.constant(0, Shape{N, H})};
    Tensor loss = tape.constant(0, Shape{});
    for (Index t = 0; t < x.size(0); ++t) {
      s = lstm.step(at(x, t), s);
      loss = loss + total(s.h) * std::pow(0.9, static_cast<double>(t));
    }
    backward(loss);
    return loss;
  };
  CHECK(followers(f, {&lstm.W, &lstm.R, &lstm.b}) == 0);
  auto compiled = compile(f, {.check = SelfCheck::off}, sequence(20));
  CHECK(compiled.explain().find("compiled as a whole: no other length") != std::string::npos);
}

TEST_CASE("results of one length are the arguments of the next, while memory grows") {
  HandLstm lstm(I, H);
  const auto f = [&](Tape&, Tensor x, Tensor h, Tensor c) {
    const auto states = lstm.unroll(x, {h, c});
    return std::pair(states.back().h, states.back().c);
  };
  const Array zero(Shape{N, H});
  auto with = compile(f, {.check = SelfCheck::off}, sequence(10), zero, zero);
  auto without = compile(f, {.passes = without_loops, .check = SelfCheck::off}, sequence(10), zero, zero);
  for (const Index T : {20, 120}) with.prepare(sequence(T), zero, zero);
  auto [h, c] = with(sequence(11), zero, zero);
  auto [p, q] = without(sequence(11), zero, zero);
  for (const Index T : {13, 40, 119, 12, 118}) {
    with.prepare(sequence(T), zero, zero);  // takes no memory away
    CHECK(h.array() == p.array());
    std::tie(h, c) = with(sequence(T), h, c);
    std::tie(p, q) = without(sequence(T), p, q);
    CHECK(follows(with));
    CHECK(h.array() == p.array());
    CHECK(c.array() == q.array());
  }
}

TEST_CASE("the first plan that follows is checked against a tape; reports have its graph") {
  HandLstm lstm(I, H);
  const auto f = [&](Tape& tape, Tensor x) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    const Tensor loss = sum_of_h(lstm.unroll(x, {zero, zero}));
    backward(loss);
    return loss;
  };
  auto step = compile(f, sequence(10));
  for (const Index T : {10, 20, 40}) step(sequence(T));
  step.prepare(sequence(30));
  CHECK(follows(step));
  CHECK(step.explain().find("check: not checked yet") != std::string::npos);
  step(sequence(30));
  CHECK(step.explain().find("check: checked: results and gradients are those of a tape") != std::string::npos);
  step(sequence(31));
  CHECK(follows(step));
  CHECK(step.explain().find("not checked itself") != std::string::npos);
  CHECK(products_of(step) == products_of(compile(f, {.passes = without_loops}, sequence(31))));
  const std::string said = step.explain();
  step(sequence(32));
  CHECK(step.explain() != said);
  step(sequence(31));
  CHECK(step.explain() == said);  // its graph is made again, and so is what is said of it
  CHECK(step.profile(1).find("%") != std::string::npos);
  CHECK(step.kernels() > 0);
}

/// A call with a length and two numbers.
struct Call {
  Index T;
  double a, b;
};

/// Calls a function with numbers in turn: gives how many followed. All have the bits of one compiled anew.
int followers_with_numbers(const std::vector<Call>& calls) {
  const Array R = random_array(Shape{I, I}, 5);
  const auto f = [&](Tape& tape, Tensor x, double a, double b) {
    const Tensor W = tape.constant(R);
    Tensor h = at(x, 0);
    for (Index t = 1; t < x.size(0); ++t) h = tanh(at(x, t) * a + matmul(h, W) * b);
    return sum(h * a) / (b + 1);
  };
  auto with = compile(f, {.check = SelfCheck::off}, sequence(calls[0].T), calls[0].a, calls[0].b);
  auto without =
      compile(f, {.passes = without_loops, .check = SelfCheck::off}, sequence(calls[0].T), calls[0].a, calls[0].b);
  int count = 0;
  for (const Call& c : calls) {
    CAPTURE(c.T);
    CAPTURE(c.a);
    CAPTURE(c.b);
    const Array x = sequence(c.T);
    CHECK(with(x, c.a, c.b).array() == without(x, c.a, c.b).array());
    count += follows(with) ? 1 : 0;
  }
  return count;
}

TEST_CASE("numbers that a function is given are no constants of plans that follow") {
  // 1, which a pass drops; 0, with which it drops more; and back.
  followers_with_numbers({{10, 2, 3}, {20, 1, 3}, {30, 1, 3}, {40, 1, 3}, {25, 1, 3}, {26, 5, 3}, {27, 0, 3}});
  followers_with_numbers({{10, 2, 3}, {20, 0, 3}, {30, 0, 3}, {40, 0, 3}, {25, 0, 3}, {26, 5, 3}, {27, 1, 3}});
  // The same at all lengths that were seen, but the first.
  followers_with_numbers({{10, 2, 3}, {20, 4, 3}, {30, 4, 3}, {40, 4, 3}, {25, 4, 3}, {26, 5, 3}, {27, 4, 3}});
  // Two that are alike, and then are not.
  followers_with_numbers({{10, 2, 3}, {20, 4, 4}, {30, 5, 5}, {40, 6, 6}, {25, 7, 7}, {26, 5, 6}, {27, 8, 8}});
  // One that is the other and one.
  followers_with_numbers({{10, 2, 5}, {20, 4, 3}, {30, 5, 4}, {40, 6, 5}, {25, 7, 6}, {26, 5, 6}, {27, 5, 9}});
  // Any others follow.
  CHECK(followers_with_numbers(
            {{10, 2, 3}, {20, 4, 3.5}, {30, 5, 7}, {40, 6, 9}, {25, 7, 2.5}, {26, 5, 6}, {33, 3, 4}}) >= 3);
}

TEST_CASE("many models in turn: the next ones follow as the first did") {
  Rng rng(1);
  auto cell = std::make_unique<RnnCell>(I, H, rng);
  const auto f = [&](Tape& tape, Tensor x) { return training(*cell)(tape, x); };
  const auto batch = [](Index T, Index n) { return random_array(Shape{T, n, I}, static_cast<std::uint64_t>(T)); };
  auto with = compile(f, {.check = SelfCheck::off}, batch(9, 1));
  auto without = compile(f, {.passes = without_loops, .check = SelfCheck::off}, batch(9, 1));
  int followed = 0;
  const Index models = rw::test::sanitized ? 10 : 40;
  for (Index n = 2; n < 2 + models; ++n) {  // another batch, which is compiled anew
    CAPTURE(n);
    cell = std::make_unique<RnnCell>(I, H, rng);
    for (const Index T : {9, 40, 65, 12}) {
      const Array x = batch(T, n);
      CHECK(run(with, x, parameters_of(*cell)) == run(without, x, parameters_of(*cell)));
      followed += follows(with) ? 1 : 0;
    }
  }
  CHECK(followed >= models - 4);
}

TEST_CASE("matrices that plans of many lengths have packed are no more than a quarter of a gigabyte") {
  constexpr Index wide = 1280, rows = 4;
  const Array W = random_array(Shape{wide, wide}, 5, 0.02);
  const auto f = [&](Tape& tape, Tensor x) {
    const Tensor matrix = tape.constant(W);
    Tensor h = slice(x, 0, 0, rows);
    for (Index t = rows; t < x.size(0); t += rows) h = tanh(slice(x, 0, t, rows) + matmul(h, matrix));
    return sum(h);
  };
  const auto of_steps = [](Index n) { return random_array(Shape{n * rows, wide}, 7); };
  auto step = compile(f, {.check = SelfCheck::off}, of_steps(6));
  std::size_t most = 0;
  for (const Index n : {60, 14}) step(of_steps(n));
  for (Index n = 7; n < 60; n += rw::test::sanitized ? 26 : 1) {
    step(of_steps(n));
    most = std::max(most, step.memory());
  }
  CHECK(most < (std::size_t{300} << 20));
}

TEST_CASE("a plan that follows is, word for word, what compiling makes") {
  HandLstm lstm(I, H);
  const CompileOptions options;
  ir::Lengths lengths(options);
  ir::Dictionary words;
  int followed = 0;
  for (const Index T : {9, 100, 41, 10, 40, 42, 63, 64, 65, 99}) {
    CAPTURE(T);
    Tape tape(TapeOptions{.trace = true});
    const std::vector<Tensor> inputs{tape.input(Shape{T, N, I}, DType::f32)};
    const Tensor zero = tape.constant(0, Shape{N, H});
    const Tensor loss =
        mean(square(stack({total(lstm.unroll(inputs[0], {zero, zero}).back().h)}))) / static_cast<double>(T);
    backward(loss);
    const std::vector<Tensor> results{loss};
    const ir::Recorded recorded{tape, inputs, results};
    ir::Lengths::Found found = lengths.find(recorded);
    ir::Notes notes;
    const ir::Graph traced = ir::from_tape(tape, results, inputs);
    const ir::Plan whole = ir::lower(ir::optimise(traced, options, notes), options);
    if (found.plan == nullptr) {
      lengths.learn(recorded, found, whole);
      continue;
    }
    ++followed;
    std::string why;
    const ir::Listing listing = ir::list(whole, words, why);
    CHECK(why.empty());
    const ir::Slots slots = ir::constants_of(found.family->trace, found.length, found.own);
    CHECK(found.family->ranges.at(0).plan.fits({listing, found.length, slots}));
    CHECK(found.plan->plan().steps.size() == whole.steps.size());
    CHECK(found.plan->plan().programs.size() == whole.programs.size());
    CHECK(lengths.memory() >= whole.layout.arena);
    const ir::Graph again = lengths.traced(found);
    REQUIRE(again.size() == traced.size());
    for (NodeId where = 0; where < again.size(); ++where) {
      CHECK(again.nodes[where].info == traced.nodes[where].info);
      CHECK(std::ranges::equal(again.in(where), traced.in(where)));
      CHECK(again.nodes[where].shape == traced.nodes[where].shape);
    }
  }
  CHECK(followed == 7);
}

}  // namespace
}  // namespace rw
