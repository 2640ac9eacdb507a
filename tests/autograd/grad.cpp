#include <cmath>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

TEST_CASE("second and third derivatives of a polynomial") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({2.0, -3.0}, Shape{2}));
  const Tensor y = x * x * x * x;
  const Tensor sum = record(SumTo{Shape{}}, {y});
  const Tensor first = grad(sum, x);
  const Tensor second = grad(record(SumTo{Shape{}}, {first}), x);
  const Tensor third = grad(record(SumTo{Shape{}}, {second}), x);
  CHECK(list(first.value()) == std::vector<double>{32, -108});
  CHECK(list(second.value()) == std::vector<double>{48, 108});
  CHECK(list(third.value()) == std::vector<double>{48, -72});
  CHECK(third.needs_grad());
}

TEST_CASE("derivatives of tanh up to the third") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(full(Shape{}, 0.7, DType::f64));
  const Tensor first = grad(tanh(x), x), second = grad(first, x), third = grad(second, x);
  const double t = std::tanh(0.7), s = 1 - t * t;
  CHECK(first.item() == doctest::Approx(s).epsilon(1e-14));
  CHECK(second.item() == doctest::Approx(-2 * t * s).epsilon(1e-14));
  CHECK(third.item() == doctest::Approx(s * (6 * t * t - 2)).epsilon(1e-13));
}

TEST_CASE("a gradient of a gradient through slices, concat, sums and products") {
  // f(x, w) = |d g / d x|^2 with g a small network: its derivative by finite differences.
  const Array x0 = numbers(Shape{2, 4}, 1, DType::f64), w0 = numbers(Shape{4, 6}, 2, DType::f64);
  const auto penalty = [&](Tape& tape, const Array& at, Tensor* w_out) {
    const Tensor x = tape.variable(x0), w = tape.variable(at);
    const Tensor z = matmul(x, w);
    const Tensor a = tanh(record(Slice{1, 0, 3}, {z})), b = sigmoid(record(Slice{1, 2, 4}, {z}));
    const Tensor joined = record(Concat{1}, {b, a});
    const Tensor g = grad(test::project(joined * joined), x);
    *w_out = w;
    return test::project(g * g, 5);
  };
  Tape tape(DType::f64);
  Tensor w;
  backward(penalty(tape, w0, &w));
  const Array exact(tape.grad(w));
  const double h = 1e-5;
  for (Index i = 0; i < w0.size(); ++i) {
    const auto at = [&](double step) {
      Array moved = w0;
      moved.span<double>()[static_cast<std::size_t>(i)] += step;
      Tape t(DType::f64);
      Tensor unused;
      return penalty(t, moved, &unused).item();
    };
    CHECK((at(h) - at(-h)) / (2 * h) ==
          doctest::Approx(exact.span<double>()[static_cast<std::size_t>(i)]).epsilon(1e-6));
  }
}

TEST_CASE("grad with respect to intermediate values, parameters, and itself") {
  Tape tape;
  Parameter p("p", full(Shape{}, 3));
  const Tensor x = tape.variable(full(Shape{}, 2));
  const Tensor y = x * p, z = y * y;
  const std::vector<Tensor> g = grad(z, {x, p, y, z});
  CHECK(g[0].item() == 36);
  CHECK(g[1].item() == 24);
  CHECK(g[2].item() == 12);
  CHECK(g[3].item() == 1);
  CHECK(p.grad().item() == 0);  // nothing is added
}

TEST_CASE("an input that y does not depend on has zeros, or is an error when asked to be strict") {
  Tape tape;
  Parameter p("p", zeros(3));
  const Tensor x = tape.variable(full(Shape{2}, 2)), other = tape.variable(zeros(2, 2));
  const Tensor y = test::project(x);
  const std::vector<Tensor> g = grad(y, {x, other, p});
  CHECK(g[1].array() == zeros(2, 2));
  CHECK(g[2].array() == zeros(3));
  const NodeId size = tape.size();
  CHECK(error_of([&] { grad(y, other, {.strict = true}); }) ==
        "[variable] (2, 2) (node 1): [sum_to] () (node 4) does not depend on it (strict)");
  CHECK(error_of([&] { grad(y, p, {.strict = true}); }).find("[parameter] 'p' (3)") == 0);
  CHECK(tape.size() == size);
  CHECK(error_of([&] { grad(y, tape.constant(1)); }) ==
        "[fill] () (node 11): has no gradient: make it with tape.variable(), or use an unfrozen parameter");
  p.freeze();
  CHECK(error_of([&] { grad(y, p); }).find("has no gradient") != std::string::npos);
}

TEST_CASE("a detached value is a constant to grad") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 2));
  const Tensor y = x * detach(x * x);
  CHECK(grad(y, x).item() == 4);
  CHECK(grad(grad(y, x) * x, x).item() == 4);
}

TEST_CASE("a recorded gradient is a node like any other: scopes and origins") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{2}, 2));
  Tensor y;
  {
    const Scope s(tape, "cell");
    y = tanh(x);
  }
  const Tensor loss = test::project(y);
  const NodeId before = tape.size();
  const Tensor g = grad(loss, x);
  bool in_cell = false;
  for (NodeId i = before; i < tape.size(); ++i)
    if (tape.node(i).origin == y.index()) {
      in_cell = true;
      CHECK(tape.scope_path(tape.node(i).scope) == "cell");
    }
  CHECK(in_cell);
  CHECK(tape.node(x.index()).origin == no_node);
  const Tensor after = g * 2;
  CHECK(tape.node(after.index()).origin == no_node);
  CHECK(tape.scope_path(tape.node(after.index()).scope) == "");
}

TEST_CASE("one add_n sums what flows into a node") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 2));
  Tensor loss = x * 1;
  for (int i = 2; i < 10; ++i) loss = loss + x * i;
  const Tensor g = grad(loss, x);
  CHECK(g.item() == 45);
  CHECK(tape.node(g.index()).info == &op_info<AddN>());
  CHECK(tape.node(g.index()).arity == 9);
}

TEST_CASE("under NoGrad a recorded gradient cannot be differentiated again") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 2));
  const Tensor y = x * x * x;
  const NoGrad off(tape);
  const Tensor g = grad(y, x);
  CHECK(g.item() == 12);
  CHECK_FALSE(g.needs_grad());
}

TEST_CASE("a gradient penalty reaches parameters through backward") {
  Tape tape(DType::f64);
  Parameter w("w", full(Shape{}, 3, DType::f64));
  const Tensor x = tape.variable(full(Shape{}, 2, DType::f64));
  const Tensor y = x * w * w * x;  // dy/dx = 2 w^2 x
  const Tensor g = grad(y, x);     // 36
  backward(g * g);                 // 4 w^4 x^2: by w, 16 w^3 x^2
  CHECK(w.grad().item() == doctest::Approx(16 * 27 * 4));
}
