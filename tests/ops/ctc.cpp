#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/ctc.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>
#include <rewind/tools/gradcheck/check_op.h>

#include "../models/golden_text.h"

using namespace rw;

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// What a path of classes says: equal ones in a row once, and no blanks.
std::vector<std::int32_t> collapsed(const std::vector<std::int32_t>& path, std::int32_t blank) {
  std::vector<std::int32_t> out;
  for (std::size_t t = 0; t < path.size(); ++t)
    if (path[t] != blank && (t == 0 || path[t] != path[t - 1])) out.push_back(path[t]);
  return out;
}

// By going through all paths; the blank is the last class.
Array losses(const Array& x, const Array& targets) {
  const Index T = x.shape()[0], N = x.shape()[1], C = x.shape()[2], S = targets.shape()[0];
  Array y(Shape{N}, DType::f64);
  for (Index n = 0; n < N; ++n) {
    std::vector<std::int32_t> word, path(at(T), 0);
    for (Index s = 0; s < S; ++s) word.push_back(targets.span<std::int32_t>()[at(s * N + n)]);
    double total = 0;
    for (Index number = 0; number < std::pow(C, T); ++number) {
      double log_probability = 0;
      for (Index t = 0, rest = number; t < T; ++t, rest /= C) {
        path[at(t)] = static_cast<std::int32_t>(rest % C);
        log_probability += x.span<double>()[at((t * N + n) * C + path[at(t)])];
      }
      if (collapsed(path, static_cast<std::int32_t>(C - 1)) == word) total += std::exp(log_probability);
    }
    y.span<double>()[at(n)] = -std::log(total);
  }
  return y;
}

Array indices(const std::vector<double>& numbers, const Shape& shape) { return Array(numbers, shape).to(DType::i32); }

double most_apart(const Array& a, const std::vector<double>& b) {
  REQUIRE(at(a.size()) == b.size());
  const std::vector<double> numbers = a.to_vector<double>();
  double most = 0;
  for (std::size_t i = 0; i < b.size(); ++i) most = std::max(most, std::abs(numbers[i] - b[i]));
  return most;
}

}  // namespace

TEST_CASE("ctc_loss") {
  OpCheck check{.shapes = {{{3, 1, 3}, {2, 1}},
                           {{1, 2, 3}, {1, 2}},
                           {{4, 2, 3}, {2, 2}},
                           {{5, 3, 3}, {2, 3}},
                           {{2, 1, 3}, {0, 1}},
                           {{3, 0, 3}, {2, 0}}},
                .domains = {{}, {.classes = 2}},
                .bad = {{{3, 1, 3}, {4, 1}}, {{3, 1, 3}, {2, 2}}, {{3, 3}, {2, 1}}, {{3, 1, 3}, {2}}},
                .no_special_values = "paths added one by one overflow where sums of logarithms do not"};
  for (const std::uint64_t seed : {1, 2, 3, 4}) {  // of which some repeat a symbol
    check.seed = seed;
    CHECK(check_op(
        "ctc_loss of each",
        [](Tensor x, Tensor y) { return ctc_loss(x, y, {.blank = 2, .reduction = Reduction::none}); }, losses, check));
  }
}

TEST_CASE("ctc_loss and its gradient are PyTorch's") {
  auto golden = rw::test::golden_text("ctc.txt");
  const Shape shape{7, 5, 4};
  Array weights({5}, DType::f64);
  for (Index n = 0; n < 5; ++n) weights.set({n}, static_cast<double>(n + 1));
  for (const Index blank : {0, 3}) {
    CAPTURE(blank);
    std::vector<double> targets = golden["targets"];
    for (double& symbol : targets)
      if (blank == 3) symbol = std::max(symbol - 1, 0.0);
    const auto f = [&](Tape& tape, Tensor x, Tensor y, Tensor steps, Tensor symbols) {
      const Tensor each =
          ctc_loss(log_softmax(x), y,
                   {.input_lengths = steps, .target_lengths = symbols, .blank = blank, .reduction = Reduction::none});
      return std::pair(each, grad(sum(each * tape.constant(weights)), x));
    };
    const Array x(golden["logits"], shape), y = indices(targets, {3, 5}), steps = indices(golden["input_lengths"], {5}),
                                            symbols = indices(golden["target_lengths"], {5});
    Tape tape(DType::f64);
    const auto [each, gradient] =
        f(tape, tape.variable(x), tape.constant(y), tape.constant(steps), tape.constant(symbols));
    CHECK(most_apart(each.array(), golden["losses_" + std::to_string(blank)]) < 1e-12);
    CHECK(most_apart(gradient.array(), golden["gradient_" + std::to_string(blank)]) < 1e-12);
    auto compiled = compile(f, {.dtype = DType::f64, .verify = true}, x, y, steps, symbols);
    const auto [also_each, also_gradient] = compiled(x, y, steps, symbols);
    CHECK(most_apart(also_each.array(), golden["losses_" + std::to_string(blank)]) < 1e-12);
    CHECK(most_apart(also_gradient.array(), golden["gradient_" + std::to_string(blank)]) < 1e-12);
  }
}

TEST_CASE("what no alignment spells has a loss of inf and gradients of 0, of both orders") {
  Tape tape(DType::f64);
  Array logits({2, 3, 3}, DType::f64);
  for (Index i = 0; i < logits.size(); ++i) logits.span<double>()[at(i)] = 0.3 * static_cast<double>(i % 5);
  // "aa" and "ab" in two steps, and "a" in none.
  const Tensor x = tape.variable(logits), y = tape.constant(indices({1, 1, 1, 1, 2, 0}, {2, 3}));
  const Tensor steps = tape.constant(indices({2, 2, 0}, {3})), symbols = tape.constant(indices({2, 2, 1}, {3}));
  const CtcOptions options{.input_lengths = steps, .target_lengths = symbols, .reduction = Reduction::none};
  const Tensor each = ctc_loss(log_softmax(x), y, options);
  CHECK(each.array().at({0}) == INFINITY);
  CHECK(std::isfinite(each.array().at({1})));
  CHECK(each.array().at({2}) == INFINITY);
  const Tensor g = grad(sum(each), x), h = grad(sum(square(g)), x);
  for (const Tensor& d : {g, h})
    for (Index t = 0; t < 2; ++t)
      for (Index c = 0; c < 3; ++c) {
        CHECK(d.array().at({t, 0, c}) == 0);
        CHECK(d.array().at({t, 2, c}) == 0);
        CHECK(d.array().at({t, 1, c}) != 0);
      }
  // A class of probability 0 at every step, which the target needs.
  Array never = log_softmax(x).array();
  for (Index t = 0; t < 2; ++t) never.set({t, 1, 1}, -INFINITY);
  const Tensor z = tape.variable(never);
  const Tensor also = ctc_loss(z, y, options);
  CHECK(also.array().at({1}) == INFINITY);
  for (const double d : grad(sum(also), z).array().to_vector<double>()) CHECK(d == 0);
  // Without steps, nothing is spelt for sure.
  CHECK(ctc_loss(tape.constant(0, Shape{0, 2, 3}), tape.constant(indices({}, {0, 2}))).item() == 0);
  // nan is no impossibility.
  never.set({0, 1, 2}, NAN);
  never.set({0, 1, 1}, NAN);
  CHECK(std::isnan(ctc_loss(tape.variable(never), y, options).array().at({1})));
}

TEST_CASE("ctc_loss: the gradient is minus the posterior, padding is harmless, and reductions") {
  Tape tape(DType::f64);
  Array x({4, 2, 3}, DType::f64);
  for (Index i = 0; i < x.size(); ++i) x.span<double>()[at(i)] = -0.2 * static_cast<double>(i % 7);
  for (Index c = 0; c < 3; ++c) x.set({3, 1, c}, NAN);
  const Array y = indices({1, 2, 2, 99}, {2, 2});
  CtcOptions options{.input_lengths = tape.constant(indices({4, 3}, {2})),
                     .target_lengths = tape.constant(indices({2, 1}, {2})),
                     .reduction = Reduction::none};
  const Tensor leaf = tape.variable(x), each = ctc_loss(leaf, tape.constant(y), options);
  const Tensor posterior = sum(grad(sum(each), leaf), {-1});
  CHECK(most_apart(posterior.array(), {-1, -1, -1, -1, -1, -1, -1, 0}) < 1e-13);
  const double first = each.array().at({0}), second = each.array().at({1});
  options.reduction = Reduction::sum;
  CHECK(ctc_loss(leaf, tape.constant(y), options).item() == doctest::Approx(first + second));
  options.reduction = Reduction::mean;
  CHECK(ctc_loss(leaf, tape.constant(y), options).item() == doctest::Approx((first + second) / 2));
}

TEST_CASE("what ctc_loss refuses") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{3, 2, 4});
  CHECK_THROWS_WITH_AS(ctc_loss(x, tape.constant(indices({1, 1, 1}, {3, 1}))),
                       "[ctc_loss] log probabilities (3, 2, 4) and targets (3, 1) do not fit: they are [T, N, C] and "
                       "[S, N], in ctc_loss",
                       Error);
  CHECK_THROWS_WITH_AS(
      ctc_loss(x, tape.constant(indices(std::vector<double>(8, 1), {4, 2}))),
      "[ctc_loss] targets (4, 2) have room for 4 symbols, log probabilities (3, 2, 4) only 3 steps: no "
      "step says two, in ctc_loss",
      Error);
  CHECK_THROWS_WITH_AS(ctc_loss(x, tape.constant(0, Shape{1, 2})),
                       "[ctc_loss] targets must be indices (i32), not f32, in ctc_loss", Error);
  CHECK_THROWS_WITH_AS(ctc_loss(x, tape.constant(indices({1, 1}, {1, 2})), {.blank = 4}),
                       "[ctc_loss] the blank is 4: it must be one of 4 classes, in ctc_loss", Error);
  for (const double symbol : {0.0, 4.0, -1.0})
    CHECK_THROWS_WITH_AS(ctc_loss(x, tape.constant(indices({1, symbol}, {1, 2}))),
                         ("[ctc_loss] symbol 0 of target 1 is " + std::to_string(static_cast<int>(symbol)) +
                          ": it must be one of 4 classes, and not the blank, 0, in ctc_loss")
                             .c_str(),
                         Error);
  CHECK_THROWS_AS(
      ctc_loss(x, tape.constant(indices({1, 1}, {1, 2})), {.input_lengths = tape.constant(indices({4, 3}, {2}))}),
      Error);
}
