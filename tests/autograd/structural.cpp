#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

namespace {

Array counted(const Shape& shape) { return arange(shape.size()).reshaped(shape).to(DType::f32); }

// One element at a time.
Array slice_of(const Array& x, int axis, Index start, Index length) {
  Array y(x.shape().with(axis, length), x.dtype());
  Index inner = 1;
  for (int i = axis + 1; i < x.shape().rank(); ++i) inner *= x.shape()[i];
  for (Index i = 0; i < y.size(); ++i) {
    const Index in = i % inner, at = i / inner % length, out = i / inner / length;
    y.span<float>()[static_cast<std::size_t>(i)] =
        x.span<float>()[static_cast<std::size_t>((out * x.shape()[axis] + start + at) * inner + in)];
  }
  return y;
}

}  // namespace

TEST_CASE("slice takes positions of any axis, of views too") {
  Tape tape;
  const Array a = counted(Shape{3, 4, 5});
  const Tensor x = tape.constant(a);
  for (int axis = 0; axis < 3; ++axis)
    for (Index start = 0; start <= a.shape()[axis]; ++start)
      for (Index length = 0; start + length <= a.shape()[axis]; ++length) {
        const Tensor y = record(Slice{axis, start, length}, {x});
        REQUIRE(y.array() == slice_of(a, axis, start, length));
        if (length < 2) continue;
        for (int again = 0; again < 3; ++again) {  // a slice of a slice
          const Index whole = y.shape()[again];
          REQUIRE(record(Slice{again, 1, whole - 1}, {y}).array() == slice_of(y.array(), again, 1, whole - 1));
        }
      }
  CHECK(record(Slice{0, 1, 2}, {tape.constant(arange(4))}).array() == Array({1, 2}, Shape{2}));
}

TEST_CASE("slice refuses what is not there") {
  Tape tape;
  const Tensor x = tape.constant(zeros(3, 4));
  CHECK(error_of([&] { record(Slice{2, 0, 1}, {x}); }) == "[slice] no axis 2 in shape (3, 4)");
  CHECK(error_of([&] { record(Slice{-1, 0, 1}, {x}); }) == "[slice] no axis -1 in shape (3, 4)");
  CHECK(error_of([&] { record(Slice{1, 2, 3}, {x}); }) == "[slice] 3 positions from 2 on are outside axis 1 of (3, 4)");
  for (const Slice& bad : {Slice{1, -1, 2}, Slice{1, 0, -1}, Slice{1, 5, 0}, Slice{1, INT64_MAX, INT64_MAX},
                           Slice{1, 1, INT64_MAX}, Slice{0, INT64_MIN, 1}, Slice{INT64_MAX, 0, 1}})
    CHECK_THROWS_AS(record(bad, {x}), Error);
  CHECK_THROWS_AS(record(Slice{0, 0, 1}, {tape.constant(1)}), Error);
  CHECK(tape.size() == 2);
}

TEST_CASE("concat puts arrays end to end, views and empty ones too") {
  Tape tape;
  const Tensor x = tape.constant(counted(Shape{3, 4, 5}));
  for (int axis = 0; axis < 3; ++axis) {
    std::vector<Operand> parts;
    const Index cuts[] = {0, 1, 1, 3, x.shape()[axis]};
    for (int i = 0; i < 4; ++i) parts.emplace_back(record(Slice{axis, cuts[i], cuts[i + 1] - cuts[i]}, {x}));
    CHECK(record(Concat{axis}, std::span<const Operand>(parts)).array() == x.array());
  }
  CHECK(record(Concat{0}, {tape.constant(arange(2)), tape.constant(arange(1))}).array() == Array({0, 1, 0}, Shape{3}));
  CHECK(error_of([&] {
          record(Concat{1}, {x, tape.constant(zeros(3, 4))});
        }) == "[concat] shapes differ beside axis 1: (3, 4, 5) and (3, 4)");
  CHECK_THROWS_AS(record(Concat{0}, {x, tape.constant(zeros(3, 4, 6))}), Error);
  CHECK(error_of([&] { record(Concat{-1}, {x, x}); }) == "[concat] no axis -1 in shape (3, 4, 5)");
}

TEST_CASE("add_n adds from left to right") {
  Tape tape;
  const Tensor a = tape.constant(1e8), b = tape.constant(1), c = tape.constant(-1e8);
  CHECK(record(AddN{}, {a, c, b}).item() == 1);
  CHECK(record(AddN{}, {a, b, c}).item() == 0);
  CHECK(record(AddN{}, {b}).item() == 1);
  const Tensor x = tape.constant(counted(Shape{3, 4}));
  const Tensor part = record(Slice{1, 1, 2}, {x});
  CHECK(list(record(AddN{}, {part, part}).value()) == std::vector<double>{2, 4, 10, 12, 18, 20});
}

TEST_CASE("sum_to and broadcast_to are each other's gradient") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers(Shape{3, 1, 4}, 1, DType::f64));
  const Tensor wide = record(BroadcastTo{Shape{2, 3, 5, 4}}, {x});
  CHECK(wide.shape() == Shape{2, 3, 5, 4});
  const Tensor back = record(SumTo{Shape{3, 1, 4}}, {wide});
  for (std::size_t i = 0; i < 12; ++i) CHECK(list(back.value())[i] == doctest::Approx(10 * list(x.value())[i]));
  backward(test::project(back));
  const std::vector<double> w = list(numbers(Shape{3, 1, 4}, 77, DType::f64));
  for (std::size_t i = 0; i < 12; ++i) CHECK(list(tape.grad(x))[i] == doctest::Approx(10 * w[i]));
  CHECK(error_of([&] { record(BroadcastTo{Shape{4}}, {x}); }) == "[broadcast_to] cannot broadcast (3, 1, 4) to (4)");
  CHECK(error_of([&] { record(SumTo{Shape{5}}, {x}); }) == "[sum_to] cannot sum (3, 1, 4) to (5)");
}

TEST_CASE("reshape keeps the order of elements, whether it can look at them in place or not") {
  Tape tape;
  const Tensor x = tape.constant(counted(Shape{4, 6}));
  CHECK(record(Reshape{Shape{2, 12}}, {x}).array() == counted(Shape{2, 12}));
  const Tensor part = record(Slice{1, 1, 3}, {x});  // rows that are apart
  const Array packed = part.array();
  for (const Shape& s : {Shape{2, 2, 3}, Shape{12}, Shape{3, 4}, Shape{4, 3, 1}, Shape{4, 1, 3}, Shape{2, 6}}) {
    CAPTURE(s.str());
    const Tensor y = record(Reshape{s}, {part});
    CHECK(y.array() == packed.reshaped(s));
    CHECK((y * 2).array().to_vector<float>()[7] == 2 * packed.to_vector<float>()[7]);
  }
  CHECK(error_of([&] { record(Reshape{Shape{5}}, {x}); }) == "[reshape] sizes differ: (4, 6) to (5)");
}

TEST_CASE("structural gradients under random programs of views are those of finite differences") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    const auto f = [&](Tensor x) {
      Rng rng(seed);
      std::vector<Tensor> pool{x};
      for (int i = 0; i < 8; ++i) {
        const Tensor t = pool[static_cast<std::size_t>(rng.below(static_cast<Index>(pool.size())))];
        const int axis = static_cast<int>(rng.below(t.shape().rank()));
        const Index length = t.size(axis), kind = rng.below(5);
        if (kind == 0) {
          const Index start = rng.below(length);
          pool.push_back(record(Slice{axis, start, 1 + rng.below(length - start)}, {t}));
        } else if (kind == 1) {
          pool.push_back(record(Concat{axis}, {t, t * 2}));
        } else if (kind == 2) {
          pool.push_back(record(SumTo{t.shape().with(axis, 1)}, {t}));
        } else if (kind == 3) {
          pool.push_back(record(Reshape{Shape{t.size() / t.size(-1), t.size(-1)}}, {t}));
        } else {
          pool.push_back(tanh(t) * t);
        }
      }
      Tensor loss = test::project(pool[1], 1);
      for (std::size_t i = 2; i < pool.size(); ++i) loss = loss + test::project(pool[i], i);
      return loss;
    };
    Tape tape(DType::f64);
    const Array x0 = numbers(Shape{2, 3, 2}, seed, DType::f64);
    const Tensor x = tape.variable(x0);
    const Tensor loss = f(x);
    const Array recorded = grad(loss, x).array();
    backward(loss);
    CHECK(test::same_bits(recorded, Array(tape.grad(x))));
    for (std::size_t i = 0; i < 12; ++i) {
      const auto at = [&](double step) {
        Array moved = x0;
        moved.span<double>()[i] += step;
        Tape t(DType::f64);
        return f(t.variable(moved)).item();
      };
      CHECK((at(1e-5) - at(-1e-5)) / 2e-5 == doctest::Approx(recorded.span<double>()[i]).epsilon(1e-6));
    }
  }
}
