// One number a row beside whole rows, in one kernel or in two: gates, norms, halting.
#include <doctest/doctest.h>

#include <rewind/ops/ops.h>

#include "all_passes.h"

namespace rw {
namespace {

using namespace rw::test;

using In = std::vector<Tensor>;

TEST_CASE("a number for each row gates the row") {
  for (const Index rows : {1, 2, 16})
    for (const Index cols : {31, 32, 33, 72}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const std::vector<Shape> shapes{{rows, 1}, {rows, cols}, {cols, cols}};
      check_all_passes(shapes, [](const In& in) { return sum(tanh(matmul(sigmoid(in[0]) * in[1], in[2]))); });
      check_all_passes(shapes, [](const In& in) { return sum(tanh(matmul(sqrt(exp(in[0])) * in[1], in[2]))); });
      check_all_passes(shapes, [](const In& in) {  // a highway
        const Tensor gate = sigmoid(in[0]);
        return sum(gate * tanh(matmul(in[1], in[2])) + (1 - gate) * in[1]);
      });
    }
}

TEST_CASE("a number for each step and row gates the row") {
  check_all_passes({{3, 4, 1}, {4, 40}, {40, 40}}, [](const In& in) {
    Tensor h = in[1];
    for (Index t = 0; t < 3; ++t) {
      const Tensor gate = sigmoid(select(in[0], 0, t));
      h = gate * tanh(matmul(h, in[2])) + (1 - gate) * h;
    }
    return sum(h);
  });
  check_all_passes({{3, 4, 1}, {3, 4, 40}, {40, 40}},
                   [](const In& in) { return sum(tanh(matmul(sigmoid(in[0]) * in[1], in[2]))); });
}

// [2, 1] is one number for each row of [1, 2, 2], as it is of [2, 2].
TEST_CASE("a number for each row of a value with more leading axes") {
  for (const Index cols : {1, 2, 33, 64})
    for (const Shape& third : {Shape{1, 2, 1}, Shape{1, 1, 2, cols}, Shape{1, 1, 1}, Shape{2, 1}, Shape{3, 2, 1}}) {
      CAPTURE(cols);
      CAPTURE(third.str());
      const std::vector<Shape> shapes{{2, cols}, {2, 1}, third};
      check_all_passes(shapes, [](const In& in) { return sum(tanh((in[0] * in[1]) * in[2])); });
      check_all_passes(shapes, [](const In& in) { return sum(tanh(in[1] * (in[0] * in[2]))); });
      check_all_passes(shapes, [](const In& in) { return sum(tanh(sigmoid(in[1]) * in[2] + in[0])); });
    }
  check_all_passes({{1, 2, 40}, {2, 1}}, [](const In& in) {
    return sum(broadcast_to(tanh(in[1]), {1, 2, 40}) * in[0]) + sum(in[0] * sigmoid(sum(in[0], -1, true) * in[1]));
  });
}

TEST_CASE("rows weighted by how likely they halt") {
  check_all_passes({{5, 64}, {64, 1}, {64, 64}}, [](const In& in) {
    Tensor h = in[0], left = 1 - sigmoid(matmul(h, in[1])), out = h * (1 - left);
    for (int k = 0; k < 3; ++k) {
      h = tanh(matmul(h, in[2]));
      const Tensor halts = minimum(sigmoid(matmul(h, in[1])), left);
      out = out + halts * h;
      left = left - halts;
    }
    return sum(tanh(out)) + sum(left);
  });
}

TEST_CASE("the largest number of a row, the row's length and one row") {
  for (const Shape& shape : {Shape{1, 64}, Shape{64}, Shape{1, 1, 64}, Shape{1, 33}, Shape{3, 64}, Shape{1, 1}}) {
    CAPTURE(shape.str());
    check_all_passes({shape}, [](const In& in) { return sum(tanh(max(in[0], {-1}, true))); });
    check_all_passes({shape}, [](const In& in) {
      const Tensor d = in[0] - max(in[0], {-1}, true);
      return sum(d / sqrt(sum(square(d), {-1}, true) + 1));
    });
  }
}

}  // namespace
}  // namespace rw
