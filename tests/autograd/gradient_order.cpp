#include <algorithm>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

#include "support.h"

using namespace rw;
using test::list;
using test::numbers;
using test::same_bits;

namespace {

// Gradients of the variables x of f(x...), by a plain backward and by a recorded one.
template <class F>
void check_same_bits(DType dtype, const std::vector<Shape>& shapes, F&& f) {
  Tape tape(dtype);
  std::vector<Tensor> x;
  std::vector<Operand> operands;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    x.push_back(tape.variable(numbers(shapes[i], i + 1, DType::f64)));
    operands.emplace_back(x.back());
  }
  const Tensor loss = f(x);
  const std::vector<Tensor> recorded = grad(loss, std::span<const Operand>(operands));
  backward(loss);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(tape.grad(x[i]), recorded[i].value()));
  }
}

}  // namespace

TEST_CASE("gradients add from left to right, the newest consumer first") {
  // Numbers whose sum depends on its order: in f32, 1e8 + 1 - 1e8 is 0 but 1e8 - 1e8 + 1 is 1.
  const auto sum_in_order = [](const std::vector<float>& weights) {
    float sum = weights.back();
    for (std::size_t i = weights.size() - 1; i-- > 0;) sum += weights[i];
    return static_cast<double>(sum);
  };
  for (const std::vector<float>& w :
       {std::vector<float>{1e8f, 1, -1e8f}, {1, 1e8f, -1e8f}, {1e8f, -1e8f, 1, 3}, {0.1f, 0.7f, 1e5f, -3, 1e-3f}}) {
    Tape tape;
    const Tensor x = tape.variable(full(Shape{}, 1));
    std::vector<Tensor> terms;
    for (float weight : w) terms.push_back(x * static_cast<double>(weight));
    Tensor loss = terms[0];
    for (std::size_t i = 1; i < terms.size(); ++i) loss = loss + terms[i];
    backward(loss);
    CHECK(list(tape.grad(x))[0] == sum_in_order(w));
    CHECK(grad(loss, x).item() == sum_in_order(w));
  }
}

TEST_CASE("within one consumer the inputs add from left to right") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 1)), a = tape.constant(1e8), b = tape.constant(1);
  struct Three {
    static Tensor of(Tensor x, Tensor a, Tensor b) { return (x * a + x * b) - x * a; }
  };
  const Tensor loss = Three::of(x, a, b);
  backward(loss);
  // Newest first: -1e8, then 1 is lost in it, then 1e8.
  CHECK(list(tape.grad(x))[0] == 0);
  const Tensor squares = record(AddN{}, {x, x, x});
  backward(squares);
  CHECK(list(tape.grad(x))[0] == 3);
}

TEST_CASE("plain and recorded backward have the same bits") {
  for (DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(name_of(dtype));
    check_same_bits(dtype, {Shape{3, 5}, Shape{3, 5}}, [](std::vector<Tensor>& x) {
      const Tensor y = tanh(x[0] * x[1]) + x[0] / (x[1] * x[1] + 1);
      return test::project(sigmoid(y) * x[0] - y * y + x[1]);
    });
    check_same_bits(dtype, {Shape{4, 1, 3}, Shape{5, 1}, Shape{3}, Shape{}}, [](std::vector<Tensor>& x) {
      const Tensor y = x[0] * x[1] + x[2];
      return test::project(tanh(y * x[3]) * x[1] + maximum(y, x[2]) + x[0]);
    });
    check_same_bits(dtype, {Shape{4, 3}, Shape{3, 8}, Shape{8}, Shape{2, 8}}, [](std::vector<Tensor>& x) {
      Tensor h = record(Slice{1, 0, 2}, {x[0]});
      for (int t = 0; t < 3; ++t) {
        const Tensor z = matmul(x[0], x[1]) + matmul(h, x[3]) + x[2];
        const Tensor i = record(Slice{1, 0, 2}, {z}), f = record(Slice{1, 2, 2}, {z});
        const Tensor g = record(Slice{1, 4, 2}, {z}), o = record(Slice{1, 6, 2}, {z});
        h = sigmoid(o) * tanh(sigmoid(f) * h + sigmoid(i) * tanh(g));
      }
      return test::project(h);
    });
  }
}

TEST_CASE("slices add into their parts of the parent's gradient") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers(Shape{2, 5}, 1, DType::f64));
  const Tensor left = record(Slice{1, 0, 2}, {x}), right = record(Slice{1, 3, 2}, {x});
  backward(test::project(left, 1) + test::project(right, 2));
  const std::vector<double> l = list(numbers(Shape{2, 2}, 1, DType::f64)),
                            r = list(numbers(Shape{2, 2}, 2, DType::f64));
  CHECK(list(tape.grad(x)) == std::vector<double>{l[0], l[1], 0, r[0], r[1], l[2], l[3], 0, r[2], r[3]});
}

TEST_CASE("slices of any axis that overlap, repeat, or meet dense gradients") {
  for (DType dtype : {DType::f32, DType::f64}) {
    for (Index axis : {0, 1, 2}) {
      CAPTURE(axis);
      check_same_bits(dtype, {Shape{5, 5, 5}}, [&](std::vector<Tensor>& x) {
        const auto part = [&](Index start, Index length) {
          return test::project(tanh(record(Slice{axis, start, length}, {x[0]})),
                               static_cast<std::uint64_t>(start * 7 + length));
        };
        Tensor loss = part(0, 2) + part(1, 3) + part(4, 1) + part(2, 0);
        loss = loss + test::project(x[0] * x[0], 3);
        loss = loss + part(2, 2) + part(0, 5) + part(2, 2) + part(3, 2);
        return loss;
      });
    }
    check_same_bits(dtype, {Shape{4, 6}}, [](std::vector<Tensor>& x) {  // slices of slices, of reshapes
      const Tensor rows = record(Slice{0, 1, 2}, {x[0]});
      const Tensor columns = record(Slice{1, 2, 3}, {rows});
      const Tensor flat = record(Reshape{Shape{24}}, {x[0]});
      const Tensor tall = record(Reshape{Shape{8, 3}}, {x[0]});
      return test::project(columns * columns) + test::project(record(Slice{0, 5, 10}, {flat}), 2) +
             test::project(record(Slice{1, 1, 2}, {tall}), 3) + test::project(rows, 4);
    });
  }
}

TEST_CASE("many small parts of one value, cut along several axes, overlapping, behind views") {
  for (DType dtype : {DType::f32, DType::f64}) {
    check_same_bits(dtype, {Shape{6, 3, 8}}, [](std::vector<Tensor>& x) {
      Tensor loss = test::project(x[0] * x[0], 3);
      for (Index t = 0; t < 6; ++t) {  // other columns in every second step, and both steps of a window
        const Tensor columns = record(Slice{2, t % 2 * 3, 4}, {x[0]});
        const Tensor step = record(Reshape{Shape{3, 4}}, {record(Slice{0, t, 1}, {columns})});
        const Tensor window = record(Slice{0, std::min<Index>(t, 4), 2}, {x[0]});
        loss = loss + test::project(step * step, 1) + test::project(tanh(window), 2);
      }
      return loss;
    });
    check_same_bits(dtype, {Shape{9, 9, 2}}, [](std::vector<Tensor>& x) {  // the points of a grid, some of them twice
      Tensor loss = test::project(record(Slice{0, 8, 1}, {x[0]}), 5);
      for (Index i = 0; i < 8; ++i)
        for (Index j = i % 3; j < 9; j += 2) {
          const Tensor row = record(Reshape{Shape{9, 2}}, {record(Slice{0, i, 1}, {x[0]})});
          const Tensor point = record(Reshape{Shape{2}}, {record(Slice{0, j, 1}, {row})});
          loss = loss + test::project(point * point, 4);
          if (i == j) loss = loss + test::project(row, 6) + test::project(tanh(point), 7);
        }
      return loss;
    });
    check_same_bits(dtype, {Shape{12, 16}}, [](std::vector<Tensor>& x) {  // all that came before
      Tensor loss = test::project(record(Slice{0, 0, 1}, {x[0]}));
      for (Index t = 1; t < 12; ++t)
        loss = loss + test::project(tanh(record(Slice{0, 0, t}, {x[0]})), static_cast<std::uint64_t>(t));
      return loss;
    });
  }
}

TEST_CASE("parts without elements") {
  check_same_bits(DType::f64, {Shape{2, 0}, Shape{2, 3}}, [](std::vector<Tensor>& x) {
    const Tensor joined = record(Concat{1}, {x[0], x[1]});
    const Tensor none = record(Slice{1, 1, 0}, {record(Slice{0, 0, 1}, {joined})});
    return test::project(joined * joined) + test::project(none * none, 2);
  });
}

TEST_CASE("one column, and a sum over it, have right gradients") {
  check_same_bits(DType::f64, {Shape{4, 3, 2}, Shape{4, 1, 1}}, [](std::vector<Tensor>& x) {
    const Tensor column = record(Slice{2, 1, 1}, {x[0]});  // [4, 3, 1], rows of one element that are apart
    return test::project(column * x[1]) + test::project(record(SumTo{Shape{3, 1}}, {column}), 5);
  });
  Tape tape(DType::f64);
  const Tensor x = tape.variable(arange(8).reshaped(Shape{2, 2, 2}).to(DType::f64));
  const Tensor y = record(Slice{2, 1, 1}, {x}) * tape.constant(Array({10.0, 100.0}, Shape{2, 1, 1}));
  CHECK(list(y.value()) == std::vector<double>{10, 30, 500, 700});
}
