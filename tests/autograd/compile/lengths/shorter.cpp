#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/lengths/shorter.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/ops/ops.h>

#include "../../../effort.h"
#include "../hand_lstm.h"
#include "followers.h"

// The first plan of a long sequence follows from those of short ones, which are traced for it.
namespace rw {
namespace {

using namespace rw::test;
using namespace rw::test::sequences;

const CompileOptions soon{.choices = "short_from=1000"};

template <class F>
bool is_by_short(F f, const Array& x) {
  CompileOptions options = soon;
  options.check = SelfCheck::off;
  return compile(std::move(f), options, x).explain().find("three short sequences") != std::string::npos;
}

TEST_CASE("a long sequence is compiled by short ones, with the same bits: cells, both directions, dropout") {
  Rng rng(1);
  const LstmCell lstm(I, H, rng);
  CHECK(is_by_short(training(lstm), sequence(700)));
  CHECK(followers(training(lstm), parameters_of(lstm), {700, 1201, 650}, soon) == 3);
  const GruCell gru(I, H, rng);
  CHECK(followers(training(gru), parameters_of(gru), {576, 575, 577}, soon) == 3);
  const RnnCell rnn(I, H, rng);
  CHECK(followers(training(rnn), parameters_of(rnn), {20, 702, 64, 30, sanitized ? 1500 : 9000}, soon) >= 2);
  HandLstm a(I, H, 1), b(I, H, 7);
  const auto two_ways = [&](Tape& tape, Tensor x) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    std::vector<Tensor> back;
    LstmState s{zero, zero};
    for (Index t = x.size(0); t-- > 0;) back.push_back((s = b.step(dropout(at(x, t), 0.5), s)).h);
    const Tensor loss = sum_of_h(a.unroll(x, {zero, zero})) + total(tanh(stack(back)));
    backward(loss);
    return loss;
  };
  CHECK(followers(two_ways, {&a.W, &a.R, &a.b, &b.W, &b.R, &b.b}, {650}, soon) == 1);
}

TEST_CASE("a long sequence is compiled by short ones, with the same bits: every cell, in the long form") {
  int short_ones = 0;
  for (const std::string_view name : cell_names()) {
    if (!full() && name != "mgu" && name != "jordan") continue;
    CAPTURE(name);
    Rng rng(1);
    const AnyCell cell = make_cell(name, I, H, rng);
    const auto f = [&](Tape& tape, Tensor x) {
      auto state = cell.zero_state(tape, x.size(1));
      std::vector<Tensor> outputs;
      for (Index t = 0; t < x.size(0); ++t) outputs.push_back(cell.output(state = cell.step(at(x, t), state, t)));
      const Tensor loss = mean(square(concat(outputs, 0)));
      backward(loss);
      return loss;
    };
    const int followed = followers(f, parameters_of(cell), {620}, soon);
    if (followed == 0) MESSAGE(name, " is compiled as a whole");
    short_ones += followed;
  }
  // Not those whose gradients are sums of elementwise terms, which are added in blocks of 64, and a few others.
  CHECK(short_ones >= (full() ? 14 : 2));
}

TEST_CASE("what passes choose by length is compiled as a whole: chunks, sums in blocks, matrices side by side") {
  HandLstm lower(I, H, 1), upper(H, H, 9);
  const auto layers = [&](Tape& tape, Tensor x) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    std::vector<Tensor> h;
    for (const LstmState& s : lower.unroll(x, {zero, zero})) h.push_back(s.h);
    const Tensor loss = sum_of_h(upper.unroll(stack(h), {zero, zero}));
    backward(loss);
    return loss;
  };
  CHECK(followers(layers, {&lower.W, &lower.R, &upper.W}, {600}, soon) == 0);

  Parameter weights("weights", random_array(Shape{N, I}, 1));  // whose gradient is a sum of as many terms as steps
  const auto terms = [&](Tape& tape, Tensor x) {
    Tensor h = tape.constant(0, Shape{N, I});
    for (Index t = 0; t < x.size(0); ++t) h = tanh(h + at(x, t) * weights);
    backward(total(h));
    return h;
  };
  CHECK(followers(terms, {&weights}, {600}, soon) == 0);

  // Rows of more than 8192 numbers are summed by an op of its own.
  const Array M = random_array(Shape{I, I}, 4, 0.5);
  const auto shares = [&](Tape& tape, Tensor x) {
    const Tensor matrix = tape.constant(M);
    Tensor h = tape.constant(0, Shape{N, I});
    std::vector<Tensor> all;
    for (Index t = 0; t < x.size(0); ++t) all.push_back(slice(h = tanh(matmul(h, matrix) + at(x, t)), 1, 0, 1));
    const Tensor e = exp(concat(all, 1));
    return e / sum(e, {1}, true);
  };
  if (!sanitized) CHECK(followers(shares, {}, {8000, 8250}, soon) == 1);

  // Fewer terms than steps: in one block of 64 at short lengths.
  Parameter slow("slow", random_array(Shape{N, I}, 1));
  const auto every_fourth = [&](Tape& tape, Tensor x) {
    const Tensor matrix = tape.constant(M);
    Tensor h = tape.constant(0, Shape{N, I}), g = h;
    for (Index t = 0; t < x.size(0); ++t) {
      h = tanh(matmul(h, matrix) + at(x, t));
      if (t % 4 == 3) g = tanh(matmul(g, matrix) + h * slow);
    }
    backward(total(g));
    return g;
  };
  CHECK(followers(every_fourth, {&slow}, {600, 800}, soon) == 0);

  // Stacks of few rows are put together, and here that is so up to 480 steps.
  const auto looks_twice = [&](Tape& tape, Tensor x) {
    const Tensor first = tape.constant(random_array(Shape{1, 30, 32}, 5)),
                 second = tape.constant(random_array(Shape{1, 30, 32}, 6));
    const Tensor matrix = tape.constant(random_array(Shape{32, 32}, 7, 0.1)), take = tape.leaf(weights);
    Tensor h = tape.constant(0, Shape{1, 32});
    std::vector<Tensor> all;
    for (Index t = 0; t < x.size(0); ++t) all.push_back(h = tanh(matmul(h, matrix) + sum(at(x, t) * take)));
    const Tensor keys = reshape(concat(all, 0), {1, x.size(0), 32});
    const MatMulOptions transposed{.transpose_b = true};
    const Tensor loss = sum(square(matmul(first, keys, transposed))) + sum(tanh(matmul(second, keys, transposed)));
    backward(loss);
    return loss;
  };
  CHECK(followers(looks_twice, {&weights}, {600}, soon) == 0);

  // Side by side from some 650 steps on.
  constexpr Index wide = 256;
  Parameter U("U", random_array(Shape{wide, wide}, 1, 0.05)), V("V", random_array(Shape{wide, wide}, 2, 0.05));
  const auto gates = [&](Tape& tape, Tensor x) {
    Tensor h = tape.constant(0, Shape{1, wide});
    for (Index t = 0; t < x.size(0); ++t)
      h = sigmoid(slice(x, 0, t, 1) + matmul(h, U)) * tanh(slice(x, 0, t, 1) + matmul(h, V));
    return h;
  };
  CHECK(!is_by_short(gates, random_array(Shape{900, wide}, 3)));
  const auto after_a_long_beginning = [&](Tape& tape, Tensor x) {
    Tensor start = tape.constant(0, Shape{1, wide});
    for (Index t = 0; t < 4000; ++t) start = tanh(start);
    return gates(tape, x) + start;
  };
  CHECK(!is_by_short(after_a_long_beginning, random_array(Shape{900, wide}, 3)));
  CHECK(is_by_short(training(RnnCell(I, H, *std::make_unique<Rng>(1))), sequence(600)));
}

TEST_CASE("a function that does something else at short lengths, or cannot have them, is compiled as a whole") {
  Rng rng(1);
  const RnnCell cell(I, H, rng);
  const auto refuses = [&](Tape& tape, Tensor x) {
    if (x.size(0) < 300) throw std::runtime_error("too short");
    return training(cell)(tape, x);
  };
  CHECK(followers(refuses, parameters_of(cell), {600}, soon) == 0);
  const auto differs = [&](Tape& tape, Tensor x) {
    const Tensor loss = training(cell)(tape, x);
    return x.size(0) < 300 ? loss * 2 : loss;
  };
  CHECK(followers(differs, parameters_of(cell), {600}, soon) == 0);
}

TEST_CASE("short sequences: which axes are along time; results are those of the long one") {
  Rng rng(1);
  const RnnCell cell(I, H, rng);
  const auto step_of = [](Tensor x, Index t) { return reshape(slice(x, 1, t, 1), {x.size(0), x.size(2)}); };
  const auto batch_first = [&](Tape& tape, Tensor x) {
    auto s = cell.zero_state(tape, x.size(0));
    std::vector<Tensor> all;
    for (Index t = 0; t < x.size(1); ++t) all.push_back((s = cell.step(step_of(x, t), s)).h);
    return all;
  };
  const Array x = random_array(Shape{N, 600, I}, 5);
  CHECK(is_by_short(batch_first, x));
  CompileOptions options = soon;
  auto with = compile(batch_first, options, x);
  options.passes = without_loops;
  auto without = compile(batch_first, options, x);
  const std::vector<Tensor> found = with(x), expected = without(x);
  REQUIRE(found.size() == 600);
  for (std::size_t t = 0; t < found.size(); t += 60) CHECK(found[t].array() == expected[t].array());
  CHECK(with.explain().find("check: checked") != std::string::npos);

  int calls = 0;
  const auto counted = [&](Tape& tape, Tensor in) { return ++calls, batch_first(tape, in); };
  auto step = compile(counted, soon, x);
  CHECK(calls == 4);  // this length, and three short ones
  step(x);
  step(x);
  CHECK(calls == 5);  // the check's

  const Array square_input = random_array(Shape{600, 1, 600}, 5);  // as many features as steps
  const RnnCell wide(600, H, rng);
  CHECK(is_by_short(training(wide), square_input));
  using Axes = std::vector<std::pair<Index, bool>>;
  const auto likely = [](const Shape& shape, Index nodes) {
    Axes out;
    const ConstView view{nullptr, shape, shape.cols()};
    for (const ir::TimeAxes& a : ir::likely_time_axes({&view, 1}, nodes)) out.emplace_back(a.steps, a.first_only);
    return out;
  };
  CHECK(likely(Shape{600, 2, 3}, 6000) == Axes{{600, true}});
  CHECK(likely(Shape{2, 600, 3}, 6000) == Axes{{600, false}});
  CHECK(likely(Shape{600, 2, 3}, 2000).empty());
  CHECK(likely(Shape{575, 2, 3}, 20000).empty());
  CHECK(likely(Shape{}, 20000).empty());
}

}  // namespace
}  // namespace rw
