#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/layers/layer_norm.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/functions.h>
#include <rewind/ops/reduce.h>

using namespace rw;

TEST_CASE("layer norm of rows of any size is that of rows of size 1") {
  const LayerNorm norm(4);
  for (const DType dtype : {DType::f32, DType::f64}) {
    Tape tape(dtype);
    const Array small({1.0, -2.0, 0.5, 1.5}, Shape{1, 4});
    const Array expected = norm(tape.constant(full(Shape{1, 1}, 1024)) * tape.constant(small)).array();
    for (const double size : {1e10, 1e20, 1e37}) {
      CAPTURE(size);
      const Tensor x = tape.variable(small);
      const Tensor y = norm(x * size);
      for (Index i = 0; i < 4; ++i) CHECK(y.array().at({0, i}) == doctest::Approx(expected.at({0, i})).epsilon(1e-5));
      const Array slope = grad(sum(y * tape.constant(Array({1.0, 2.0, 3.0, 4.0}, Shape{4}))), x).array();
      for (Index i = 0; i < 4; ++i) CHECK(std::isfinite(slope.at({0, i})));
    }
  }
}

TEST_CASE("layer norm of equal numbers is exactly 0 at any width and size") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Index width : {2, 3, 7, 49, 100}) {
      const LayerNorm norm(width);
      Tape tape(dtype);
      for (const double size : {1e-310, 1e-40, 1e-20, 0.1, 1.1, 1e20, 1e38, 3e38, 1.7e308}) {
        if (dtype == DType::f32 && size > 1e39) continue;
        CAPTURE(size);
        CAPTURE(width);
        for (const double x : {size, -size})
          CHECK(norm(tape.constant(full(Shape{2, width}, x, dtype))).array() == Array(Shape{2, width}, dtype));
      }
    }
}

TEST_CASE("layer norm of equal numbers is 0, of infinities nan") {
  const LayerNorm norm(3);
  Tape tape;
  for (const double size : {0.0, 1.0, 1e20, 3e38}) {
    CAPTURE(size);
    const Tensor x = tape.variable(full(Shape{2, 3}, size));
    const Tensor y = norm(x);
    CHECK(y.array() == Array(Shape{2, 3}));
    CHECK(grad(sum(y), x).array() == Array(Shape{2, 3}));
  }
  CHECK(std::isnan(norm(tape.constant(std::numeric_limits<double>::infinity(), Shape{1, 3})).array().at({0, 0})));
}

// The layer cuts gradients that cancel; here they all flow.
TEST_CASE("layer norm's slopes of the first two orders are those of its formula") {
  const LayerNorm norm(5);
  Tape tape(DType::f64);
  const Tensor x =
      tape.variable(Array({0.3, -1.2, 2.5, 0.7, -0.4, 4.0, 3.1, -2.2, 0.1, 0.9}, Shape{2, 5}).to(DType::f64));
  const Tensor weights = tape.constant(Array({1.0, -2.0, 0.5, 3.0, -0.7}, Shape{5}).to(DType::f64));
  const Tensor d = x - mean(x, {-1}, true);
  const Tensor by_formula = d / sqrt(mean(square(d), {-1}, true) + 1e-5);
  std::vector<Array> first, second;
  for (const Tensor& y : {norm(x), by_formula}) {
    const Tensor slope = grad(sum(y * y * y * weights), x);
    first.push_back(slope.array());
    second.push_back(grad(sum(square(slope) * weights), x).array());
  }
  for (Index i = 0; i < 2; ++i)
    for (Index j = 0; j < 5; ++j) {
      CHECK(first[0].at({i, j}) == doctest::Approx(first[1].at({i, j})).epsilon(1e-11));
      CHECK(second[0].at({i, j}) == doctest::Approx(second[1].at({i, j})).epsilon(1e-10));
    }
}
