#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/core/threads.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

// The mask of draw 0 of step 0 and seed 0, from the generator alone.
double kept(Index i, double rate) {
  const PhiloxCounter stream = philox({0, 0, 0, 0}, {0, 0});
  const auto block = static_cast<std::uint32_t>(i / 4);
  const PhiloxCounter bits = philox({block, 0, stream[2], stream[3]}, {stream[0], stream[1]});
  return (bits[static_cast<std::size_t>(i % 4)] >> 8) * 0x1p-24 < rate ? 0 : 1;
}

Array masked(const Array& x, double rate, double scale) {
  Array y(x.shape(), DType::f64);
  for (Index i = 0; i < y.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    y.span<double>()[at] = x.span<double>()[at] * kept(i, rate) * scale;
  }
  return y;
}

double mean_of(const Array& x) {
  double sum = 0;
  for (float e : x.span<float>()) sum += static_cast<double>(e);
  return sum / static_cast<double>(x.size());
}

}  // namespace

TEST_CASE("dropout and its masks: the numbers that the generator gives, and derivatives") {
  CHECK(check_op(
      "dropout", [](Tensor x) { return dropout(x, 0.25); }, [](const Array& x) { return masked(x, 0.25, 1 / 0.75); },
      {.shapes = {{{5, 7}}, {{}}, {{0, 3}}, {{1, 1}}, {{3, 90}}}}));
  CHECK(check_op(
      "bernoulli_mask", [](Tensor x) { return x * bernoulli_mask(x.tape(), x.shape(), 0.5); },
      [](const Array& x) { return masked(x, 0.5, 1); }, {.shapes = {{{5, 7}}, {{}}}}));
  CHECK(check_op(
      "dropout_mask", [](Tensor x) { return x * dropout_mask(x.tape(), x.shape(), 0.5); },
      [](const Array& x) { return masked(x, 0.5, 2); }, {.shapes = {{{5, 7}}, {{}}}}));
}

TEST_CASE("the draws of a program are the same each time, and differ from each other") {
  const auto masks = [](TapeOptions options, std::uint64_t step) {
    Tape tape(options);
    tape.set_step(step);
    std::vector<Array> all;
    for (int i = 0; i < 3; ++i) all.push_back(bernoulli_mask(tape, Shape{100}, 0.5).array().to(DType::f32));
    return all;
  };
  const auto once = masks({}, 0);
  CHECK(once == masks({}, 0));
  CHECK(once == masks({.dtype = DType::f64}, 0));
  CHECK_FALSE(once[0] == once[1]);
  CHECK_FALSE(once[1] == once[2]);
  CHECK_FALSE(once[0] == masks({.seed = 1}, 0)[0]);
  CHECK_FALSE(once[0] == masks({}, 1)[0]);
  CHECK_FALSE(masks({}, 1)[0] == once[1]);
}

TEST_CASE("a mask with a key is the same all over a step, whatever is drawn in between, and counts as no draw") {
  Tape tape;
  const auto keyed = [&](std::uint64_t key) { return dropout_mask(tape, Shape{100}, 0.5, key).array(); };
  const Array once = keyed(1);
  const Array drawn = dropout_mask(tape, Shape{100}, 0.5).array();
  CHECK(keyed(1) == once);
  CHECK_FALSE(keyed(2) == once);
  CHECK_FALSE(keyed(0) == drawn);
  tape.clear();
  CHECK(dropout_mask(tape, Shape{100}, 0.5).array() == drawn);
  CHECK(keyed(1) == once);
  tape.set_step(1);
  tape.clear();
  CHECK_FALSE(keyed(1) == once);
  CHECK_THROWS_AS(dropout_mask(tape, Shape{2}, 1, 1), Error);
}

TEST_CASE("recording anew after clear or rewind draws the same") {
  Tape tape;
  const Array first = dropout_mask(tape, Shape{64}, 0.5).array();
  const TapeMark mark = tape.mark();
  const Array second = dropout_mask(tape, Shape{64}, 0.5).array();
  tape.rewind(mark);
  CHECK(dropout_mask(tape, Shape{64}, 0.5).array() == second);
  tape.clear();
  CHECK(dropout_mask(tape, Shape{64}, 0.5).array() == first);
}

TEST_CASE("any number of threads draws the same, and the rate is kept to") {
  const int before = threads();
  std::vector<Array> masks;
  for (int n : {1, 2, 4}) {
    set_threads(n);
    Tape tape;
    masks.push_back(dropout_mask(tape, Shape{300, 101}, 0.3).array());
  }
  set_threads(before);
  CHECK(masks[0] == masks[1]);
  CHECK(masks[0] == masks[2]);
  CHECK(mean_of(masks[0]) == doctest::Approx(1).epsilon(0.02));
}

TEST_CASE("rates") {
  Tape tape;
  const Tensor x = tape.variable(Array({1.0f, 2.0f}, Shape{2}));
  CHECK(dropout(x, 0).same(x));
  CHECK(mean_of(bernoulli_mask(tape, Shape{1000}, 1).array()) == 0);
  CHECK(mean_of(bernoulli_mask(tape, Shape{1000}, 0).array()) == 1);
  for (double bad : {-0.1, 1.0, 1.5, std::nan("")}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(dropout(x, bad), Error);
    CHECK_THROWS_AS(dropout_mask(tape, Shape{2}, bad), Error);
  }
  CHECK_THROWS_WITH_AS(dropout(x, 1), "[dropout] the rate must be in [0, 1), not 1", Error);
  CHECK_THROWS_AS(bernoulli_mask(tape, Shape{2}, 1.01), Error);
}

TEST_CASE("every update draws anew, and what is recorded again before it draws the same") {
  Parameter w("w", full({64}, 1));
  const auto mask_of = [&](Tape& tape) { return dropout(tape.leaf(w), 0.5); };
  Tape tape;
  const Array first = mask_of(tape).array();
  tape.clear();
  const Tensor again = mask_of(tape);
  CHECK(again.array() == first);
  CHECK(tape.next_step() == 0);
  backward(sum(again));
  CHECK(tape.next_step() == 1);
  tape.clear();
  CHECK(tape.step() == 1);
  const Array second = mask_of(tape).array();
  CHECK_FALSE(second == first);

  // A loop of rewind, too; without an update in it the numbers come again.
  const TapeMark mark = [&] {
    tape.clear();
    return tape.mark();
  }();
  const auto update = [&](bool change) {
    tape.rewind(mark);
    const Tensor y = mask_of(tape);
    const Array values = y.array();
    backward(sum(y));
    if (change) w.edit();
    return values;
  };
  const Array before = update(false), same = update(true), after = update(false);
  CHECK(same == before);
  CHECK_FALSE(after == same);

  // A tape that goes on from there.
  Tape later(TapeOptions{.step = 1});
  CHECK(mask_of(later).array() == second);
  later.clear();
  later.set_step(0);
  CHECK(mask_of(later).array() == first);
}

TEST_CASE("every call of a compiled function is a step, which draws as a tape does at that step") {
  Parameter w("w", full({64}, 1));
  const auto program = [&](Tape& tape) {
    const Tensor y = dropout(tape.leaf(w), 0.5);
    backward(sum(y));
    return y;
  };
  auto compiled = compile(program, CompileOptions{.dtype = DType::f32, .seed = 3});
  std::vector<Array> calls;
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(compiled.next_step() == i);
    calls.push_back(compiled().array());
    Tape tape(TapeOptions{.seed = 3, .step = i});
    CHECK(program(tape).array() == calls.back());
  }
  CHECK_FALSE(calls[0] == calls[1]);
  CHECK_FALSE(calls[1] == calls[2]);
  compiled.set_step(1);
  CHECK(compiled().array() == calls[1]);
  CHECK(compiled().array() == calls[2]);
  CHECK(compiled.plans() == 1);
}
