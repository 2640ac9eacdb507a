#include <functional>
#include <utility>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/split_backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "support.h"

using namespace rw;

namespace {

Array numbers(std::initializer_list<float> values, const Shape& shape) { return Array(values, shape); }

struct Chain {
  Parameter w{"w", numbers({0.3f, -0.7f, 0.2f, 0.9f}, {2, 2})}, b{"b", numbers({0.1f, -0.2f}, {2})};
  Array x = numbers({1, 2, -3, 0.5f, 0.1f, 4}, {3, 2});

  Tensor half(Tensor h) {
    for (int i = 0; i < 3; ++i) h = tanh(matmul(h, w) + b) * b;
    return h;
  }
};

}  // namespace

TEST_CASE("a backward in two pieces adds the same bits as one") {
  Chain c;
  Tape whole;
  const Tensor in = whole.variable(c.x);
  backward(sum(square(c.half(c.half(in)))));
  const Array w = c.w.grad(), b = c.b.grad(), x(whole.grad(in));
  c.w.zero_grad();
  c.b.zero_grad();

  Tape first, second;
  const Tensor start = first.variable(c.x), middle = c.half(start);
  const Tensor copied = second.variable(middle.value());
  SplitBackward pieces(DType::f32);
  pieces.run({{sum(square(c.half(copied)))}});
  CHECK(pieces.bytes() == 6 * sizeof(float));
  pieces.run({{middle, second.grad(copied)}});
  CHECK(c.w.grad() == Array(Shape{2, 2}));
  pieces.commit();
  CHECK(c.w.grad() == w);
  CHECK(c.b.grad() == b);
  CHECK(Array(first.grad(start)) == x);
  pieces.commit();  // nothing is left
  CHECK(c.w.grad() == w);
}

// The rule gives its gradient away as it stands, which must not become that of a parameter whose sum lies elsewhere.
TEST_CASE("a backward in two pieces: parameters that are reshaped, added, subtracted, cut and turned first") {
  using Seen = std::function<Tensor(Tensor, Tensor)>;
  const std::pair<const char*, Seen> ways[] = {{"reshaped",
                                                [](Tensor w, Tensor v) {
                                                  return matmul(reshape(w, {2, 2}), reshape(reshape(v, {4}), {2, 2}));
                                                }},
                                               {"added",
                                                [](Tensor w, Tensor v) {
                                                  return reshape(w, {2, 2}) + v;
                                                }},
                                               {"both",
                                                [](Tensor w, Tensor v) {
                                                  return v + v * reshape(w, {2, 2});
                                                }},
                                               {"subtracted",
                                                [](Tensor w, Tensor v) {
                                                  return v - reshape(w, {2, 2});
                                                }},
                                               {"turned", [](Tensor w, Tensor v) {
                                                  return transpose(v) + slice(reshape(w, {2, 2}), 0, 0, 1);
                                                }}};
  for (const auto& way : ways) {
    const Seen& seen = way.second;
    CAPTURE(way.first);
    Parameter w("w", numbers({0.3f, -0.7f, 0.2f, 0.9f}, {4})), v("v", numbers({0.1f, 0.8f, -0.4f, 0.6f}, {2, 2}));
    const Array x = numbers({1, 2, -3, 0.5f, 0.1f, 4}, {3, 2});
    const auto half = [&](Tensor h) {
      for (int i = 0; i < 2; ++i) h = tanh(matmul(h, seen(h.tape().leaf(w), h.tape().leaf(v))));
      return h;
    };
    Tape whole;
    backward(sum(square(half(half(whole.constant(x))))));
    const Array expected_w = w.grad(), expected_v = v.grad();
    w.zero_grad();
    v.zero_grad();
    Tape first, second;
    const Tensor middle = half(first.constant(x)), copied = second.variable(middle.value());
    SplitBackward pieces(DType::f32);
    pieces.run({{sum(square(half(copied)))}});
    pieces.run({{middle, second.grad(copied)}});
    pieces.commit();
    CHECK(w.grad() == expected_w);
    CHECK(v.grad() == expected_v);
  }
}

TEST_CASE("several roots are one backward from their sum; roots without a gradient are passed over") {
  Chain c;
  Tape tape;
  const Tensor h = c.half(tape.constant(c.x)), far = sum(square(c.half(h))), near = sum(h);
  backward(far + near);
  const Array w = c.w.grad();
  c.w.zero_grad();
  SplitBackward pieces(DType::f32);
  pieces.run({{far}, {near}, {tape.constant(1)}});
  pieces.commit();
  CHECK(c.w.grad().at({1, 0}) == doctest::Approx(w.at({1, 0})).epsilon(1e-6));
  const Array once = c.w.grad();
  pieces.run({{tape.constant(1)}});
  pieces.commit();
  CHECK(c.w.grad() == once);
}

TEST_CASE("a backward in pieces that cannot be done is refused, and leaves the parameters alone") {
  Chain c;
  Tape tape, other, wide(DType::f64), traced({.trace = true});
  const Tensor h = c.half(tape.constant(c.x));
  SplitBackward pieces(DType::f32);
  CHECK_THROWS_AS(pieces.run({{h}}), Error);
  CHECK_THROWS_WITH_AS(pieces.run({{h, numbers({1}, {1})}}),
                       "[mul] (3, 2) (node 14): the cotangent must have this shape, not (1)", Error);
  CHECK_THROWS_WITH_AS(pieces.run({{sum(h)}, {sum(c.half(other.constant(c.x)))}}),
                       "a backward in pieces: the roots are of different tapes", Error);
  CHECK_THROWS_WITH_AS(pieces.run({{sum(c.half(wide.constant(c.x)))}}),
                       "a backward in pieces: it is f32, and the tape is f64", Error);
  CHECK_THROWS_WITH_AS(pieces.run({{sum(c.half(traced.constant(c.x)))}}),
                       "a backward in pieces adds numbers from tape to tape: compile cannot trace it", Error);
  pieces.run({{sum(h)}});
  c.b.grad() = Array(Shape{3});
  CHECK_THROWS_AS(pieces.commit(), Error);
  CHECK(c.w.grad() == Array(Shape{2, 2}));
}
