#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/clip_gradient.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

TEST_CASE("clip_gradient is the identity, and so is its gradient within the limit") {
  CHECK(check_op(
      "clip_gradient", [](Tensor x) { return clip_gradient(x, 1e6); }, [](double x) { return x; }));
}

TEST_CASE("what flows back is limited, element by element") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Tape tape(dtype);
    const double infinity = std::numeric_limits<double>::infinity(), nan = std::nan("");
    const Tensor x = tape.variable(zeros(5)), y = clip_gradient(x, 2);
    const Tensor cotangent = tape.constant(Array({-3.0, -2.0, 0.5, infinity, nan}, Shape{5}));
    backward(y, {.cotangent = cotangent});
    const auto plain = Array(tape.grad(x)).to_vector<double>();
    const auto recorded = grad(y, x, {.cotangent = cotangent}).array().to_vector<double>();
    for (const auto& g : {plain, recorded}) {
      CHECK(g[0] == -2);
      CHECK(g[1] == -2);
      CHECK(g[2] == 0.5);
      CHECK(g[3] == 2);
      CHECK(std::isnan(g[4]));
    }
  }
}

TEST_CASE("the limited gradient is differentiated again: nothing flows where it was limited") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({1.0, 5.0}, Shape{2}));
  const Tensor g = grad(sum(square(clip_gradient(x, 3))), x);  // 2 x, limited to 3
  CHECK(g.array() == Array({2.0, 3.0}, Shape{2}));
  CHECK(grad(sum(g), x).array() == Array({2.0, 0.0}, Shape{2}));
}

TEST_CASE("a limit that makes no sense") {
  Tape tape;
  const Tensor x = tape.variable(zeros(2));
  CHECK_THROWS_WITH_AS(clip_gradient(x, 0), "[clip_gradient] the limit is 0: it must be above 0", Error);
  CHECK_THROWS_AS(clip_gradient(x, -1), Error);
  CHECK_THROWS_AS(clip_gradient(x, std::nan("")), Error);
}
