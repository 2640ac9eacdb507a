#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 6, N = 4, I = 16, H = 24;

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A loss with dropout and a gradient: what must not notice that plans were measured.
struct Model {
  HandLstm cell{I, H};
  Array x = random_array(Shape{T, N, I}, 7);
  auto compiled(const CompileOptions& options) {
    return compile(
        [this](Tape& tape, Tensor in) {
          const Tensor zero = tape.constant(0, Shape{N, H});
          const Tensor loss = total(dropout(cell.unroll(in, {zero, zero}).back().h, 0.5));
          backward(loss);
          return loss;
        },
        options, x);
  }
};

TEST_CASE("tuning keeps bits, gradients, steps of random numbers and results") {
  const int before = threads();
  for (const int n : {1, 2}) {
    CAPTURE(n);
    set_threads(n);
    Model plain, tuned;
    auto expected = plain.compiled({.seed = 5});
    tuned.cell.W.grad().fill(0.25);
    plain.cell.W.grad().fill(0.25);
    auto found = tuned.compiled({.seed = 5, .tune = 0.06});
    CHECK(tuned.cell.W.grad() == plain.cell.W.grad());
    CHECK(found.next_step() == 0);
    for (int call = 0; call < 3; ++call) CHECK(found(tuned.x).array() == expected(plain.x).array());
    CHECK(tuned.cell.W.grad() == plain.cell.W.grad());
    CHECK(tuned.cell.R.grad() == plain.cell.R.grad());
    CHECK(tuned.cell.b.grad() == plain.cell.b.grad());

    const std::string said = found.explain();
    CAPTURE(said);
    CHECK(says(said, "costs: built in, with this processor's caches of "));
    CHECK_FALSE(says(said, "gives other bits"));
    CHECK(says(said, "tuned: as estimated: "));
    const bool slow = says(said, " do not fit in 0.06 s") || says(said, "no candidate was measured");
    CHECK((says(said, n == 1 ? "tuned: rematerialize=" : "tuned: one_thread=1: ") || slow));
    if (n == 1) CHECK_FALSE(says(said, "one_thread="));
    CHECK_FALSE(says(said, "pack_from="));
    // What was chosen can be had again without measuring.
    const std::string chosen = found.choices();
    CHECK(tuned.compiled({.choices = chosen}).choices() == chosen);
  }
  set_threads(before);
}

TEST_CASE("choices that give other bits are tried where that is allowed, and the plan is checked as ever") {
  Model model;
  auto step = model.compiled({.tune = 0.05, .tune_other_bits = true});
  step(model.x);
  const std::string said = step.explain();
  CAPTURE(said);
  CHECK((says(said, "chunk_from=") || says(said, " left out: ") || says(said, " do not fit in ")));
  CHECK(says(said, "check: checked: "));
}

TEST_CASE("plans of other shapes take the choices over, and nothing is measured for them") {
  Model model;
  auto step = model.compiled({.tune = 0.02});
  const std::string chosen = step.choices(), said = step.explain();
  step(random_array(Shape{T + 5, N, I}, 8));
  CHECK(step.choices() == chosen);
  const auto tuned_lines = [](const std::string& text) {
    std::string out;
    for (std::size_t at = text.find("tuned: "); at != std::string::npos; at = text.find("tuned: ", at + 1))
      out += text.substr(at, text.find('\n', at) - at);
    return out;
  };
  CHECK(tuned_lines(step.explain()) == tuned_lines(said));
}

TEST_CASE("too few seconds, and numbers that a function refuses, leave the estimate") {
  const int before = threads();
  set_threads(2);
  Model model;
  CHECK(CompileOptions{.tune = true}.tune == 1);
  auto step = model.compiled({.tune = 1e-9});
  CHECK(says(step.explain(), " of two candidates do not fit in 1e-09 s\n"));
  step(model.x);
  Array bad(Shape{2}, DType::i32);
  bad.fill(9);
  auto f = compile(
      [](Tape& tape, Tensor i) {
        return lookup(tape.constant(random_array(Shape{3, 4}, 1)), i);
      },
      CompileOptions{.tune = 0.01}, bad);
  CHECK(says(f.explain(), "tuned: as estimated: a replay threw: "));
  bad.fill(2);
  CHECK(f(bad).shape() == Shape{2, 4});
  set_threads(before);
}

}  // namespace
}  // namespace rw
