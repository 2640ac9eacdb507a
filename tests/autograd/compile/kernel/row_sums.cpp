#include <doctest/doctest.h>

#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

Tensor normalised(Tensor x) {
  const Tensor d = x - mean(x, {-1}, true);
  return d / sqrt(mean(square(d), {-1}, true) + 1e-3);
}

TEST_CASE("sums of rows run inside kernels, bit for bit") {
  for (DType dtype : {DType::f32, DType::f64}) {
    for (const Shape& shape : {Shape{6, 64}, Shape{2, 3, 40}, Shape{1, 33}, Shape{5, 100}, Shape{2, 1100}}) {
      CAPTURE(shape.str());
      const std::vector<Array> x{random_array(shape, 1, 1, dtype), random_array(Shape{shape.cols()}, 2, 1, dtype)};
      const auto f = [](Tape&, const std::vector<Tensor>& in) {
        const Tensor scores = exp(in[0] * in[1]), y = normalised(in[0]) * in[1] + scores / sum(scores, {-1}, true);
        const Tensor row = sum(in[0] * y, {-1}, true);  // a result of one column
        const Tensor g = grad(sum(tanh(y) * row), in[0]);
        return std::vector{y, row, g, grad(sum(g * y), in[0])};
      };
      CHECK(disagreement(f, x, {}, {.passes = Passes::exact()}) == 0);
      for (Pass p : all_passes)
        CHECK(disagreement(f, x, {}, {.passes = Passes::all() - p}) < (dtype == DType::f32 ? 1e-4 : 1e-12));
    }
  }
}

TEST_CASE("rows of one number are summed, too, and what is stretched to rows") {
  const std::vector<Array> x{random_array(Shape{3, 1100}, 1), random_array(Shape{3, 1}, 2)};
  const auto f = [](Tape& tape, const std::vector<Tensor>& in) {
    const Tensor a = tanh(in[0] * sum(tape.constant(0.001, Shape{3, 1100}), {-1}, true));
    const Tensor b = a + sum(broadcast_to(in[1], Shape{3, 1100}), {-1}, true);
    return std::vector{b, grad(sum(b * a), in[0]), grad(sum(b * a), in[1])};
  };
  CHECK(disagreement(f, x, {}, {.passes = Passes::exact()}) == 0);
  CHECK(disagreement(f, x, {}, {.passes = Pass::fuse}) == 0);
  CHECK(disagreement(f, x, {}) < 1e-5);
}

TEST_CASE("layer norm is one kernel, and two with its gradient's sums for the gain") {
  const Array x = random_array(Shape{6, 64}, 1);
  Parameter gain("gain", random_array(Shape{64}, 2));
  auto forward = compile([&](Tape&, Tensor in) { return tanh(normalised(in) * gain); }, x);
  CHECK(forward.kernels() == 1);
  auto both = compile(
      [&](Tape&, Tensor in) {
        const Tensor loss = sum(square(tanh(normalised(in) * gain)));
        backward(loss);
        return std::pair(loss, grad(loss, in));
      },
      x);
  CHECK(both.kernels() <= 2);
}

TEST_CASE("a hand-written softmax is one kernel") {
  const Array x = random_array(Shape{4, 50}, 1);
  auto f = compile(
      [&](Tape&, Tensor in) {
        const Tensor e = exp(in);
        return e / sum(e, {-1}, true);
      },
      x);
  CHECK(f.kernels() == 1);
  CHECK(difference(f(x).array(), [&] {
          Tape tape;
          return softmax(tape.constant(x)).array();
        }()) < 1e-5);
}

}  // namespace
}  // namespace rw
