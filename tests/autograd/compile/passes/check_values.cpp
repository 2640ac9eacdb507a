#include <doctest/doctest.h>

#include <rewind/autograd/compile/passes/check_values.h>
#include <rewind/core/error.h>
#include <rewind/ops/ops.h>

#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

/// The graph of a function of three constants of 40 x 40.
template <class F>
ir::Graph graph_of(const F& f) {
  Tape tape;
  std::vector<Tensor> x;
  for (std::uint64_t i = 0; i < 3; ++i) x.push_back(tape.constant(random_array(Shape{40, 40}, i + 1)));
  const std::vector<Tensor> results{f(x)};
  return ir::from_tape(tape, results, {});
}
using In = std::vector<Tensor>;

TEST_CASE("a pass that changes values is named, with the first node that is off") {
  const ir::Graph before = graph_of([](const In& x) { return tanh(matmul(x[0], x[1]) + x[2]) * x[0]; });
  const ir::Graph other = graph_of([](const In& x) { return tanh(matmul(x[1], x[0]) + x[2]) * x[0]; });
  ir::ValueCheck check(before);
  CHECK_NOTHROW(check.follow(before, before, "nothing", true));
  CHECK_THROWS_WITH_AS(check.follow(before, other, "swap", false),
                       doctest::Contains("compile: swap changes the value of result 0: first at node 3, [matmul]"),
                       Error);
}

TEST_CASE("another order of a sum is let pass, unless bits are to be kept") {
  const ir::Graph before = graph_of([](const In& x) { return (x[0] + x[1]) + x[2]; });
  const ir::Graph after = graph_of([](const In& x) { return x[0] + (x[1] + x[2]); });
  ir::ValueCheck check(before);
  CHECK_THROWS_AS(check.follow(before, after, "reorder", true), Error);
  CHECK_NOTHROW(check.follow(before, after, "reorder", false));
}

TEST_CASE("a small fault in one term is more than rounding") {
  const ir::Graph before = graph_of([](const In& x) { return matmul(x[0], x[1]) + x[2]; });
  const ir::Graph after = graph_of([](const In& x) { return matmul(x[0], x[1]) + x[2] * 1.0001; });
  ir::ValueCheck check(before);
  CHECK_THROWS_AS(check.follow(before, after, "scale", false), Error);
}

TEST_CASE("what is too large to evaluate is let pass") {
  const auto large = [](double factor) {
    Tape tape;
    const std::vector<Tensor> y{tape.constant(Array(Shape{700, 700}, DType::f32)) + factor};
    return ir::from_tape(tape, y, {});
  };
  const ir::Graph before = large(1);
  ir::ValueCheck check(before);
  CHECK_NOTHROW(check.follow(before, large(2), "add", true));
}

}  // namespace
}  // namespace rw
