#include <memory>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

TEST_CASE("a parameter has a value, a gradient of its shape, and a name") {
  Parameter p("W", numbers(Shape{2, 3}, 1));
  CHECK(p.name() == "W");
  CHECK(p.shape() == Shape{2, 3});
  CHECK(p.size() == 6);
  CHECK(p.dtype() == DType::f32);
  CHECK(p.grad() == zeros(2, 3));
  CHECK(error_of([] { Parameter("ids", arange(3)); }) == "parameter 'ids' must be f32 or f64, not i32");
  p.set(full(Shape{2, 3}, 2, DType::f64));
  CHECK(p.value() == full(Shape{2, 3}, 2));
  CHECK(error_of([&] { p.set(zeros(3, 2)); }) == "parameter 'W' has shape (2, 3); it cannot be set to (3, 2)");
}

TEST_CASE("a tape has one leaf for a parameter, however often it is used") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1));
  const Tensor leaf = tape.leaf(p);
  CHECK(tape.leaf(p).same(leaf));
  const Tensor y = leaf * p + p;
  CHECK(tape.size() == 3);
  CHECK(tape.node(y.index()).in()[1] == leaf.index());
  CHECK(leaf.value().data == p.value().view().data);  // no copy
  CHECK(tape.parameter_of(tape.node(leaf.index())) == p.data());
  CHECK(tape.describe(leaf.index()) == "[parameter] 'p' (2) (node 0)");
}

TEST_CASE("an f64 tape converts f32 parameters, once, and their gradients back") {
  Tape tape(DType::f64);
  Parameter p("p", numbers(Shape{3}, 1)), q("q", numbers(Shape{3}, 2, DType::f64));
  const Tensor y = tape.leaf(p) * q * p;
  CHECK(y.dtype() == DType::f64);
  CHECK(tape.size() == 4);
  backward(test::project(y));
  CHECK(p.grad().dtype() == DType::f32);
  CHECK(q.grad().dtype() == DType::f64);
  const std::vector<double> w = list(numbers(Shape{3}, 77, DType::f64)), x = list(p.value()), z = list(q.value());
  for (std::size_t i = 0; i < 3; ++i) {
    const double newest = w[i] * (x[i] * z[i]), oldest = w[i] * x[i] * z[i];
    CHECK(list(p.grad())[i] == doctest::Approx(newest + oldest).epsilon(1e-7));
    CHECK(list(q.grad())[i] == doctest::Approx(w[i] * x[i] * x[i]).epsilon(1e-15));
  }
  Tape single;
  backward(test::project(single.leaf(q) * 1));  // an f32 tape with an f64 parameter
  CHECK(q.grad().dtype() == DType::f64);
}

TEST_CASE("a frozen parameter is a constant from then on") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1)), q("q", numbers(Shape{2}, 2));
  p.freeze();
  CHECK(p.frozen());
  const Tensor y = tape.leaf(p) * q;
  CHECK_FALSE(tape.leaf(p).needs_grad());
  backward(test::project(y));
  CHECK(p.grad() == zeros(2));
  CHECK(q.grad() != zeros(2));
  p.freeze(false);
  CHECK(tape.leaf(p).needs_grad());  // a new leaf
  backward(test::project(tape.leaf(p) * 1));
  CHECK(list(p.grad()) == list(numbers(Shape{2}, 77)));
  p.freeze();
  q.freeze();
  Tape frozen;
  const Tensor loss = test::project(frozen.leaf(p) * q);
  CHECK(error_of([&] { backward(loss); }).find("every parameter is frozen") != std::string::npos);
}

TEST_CASE("tied parameters have one value, one leaf, one gradient") {
  Parameter a("a", numbers(Shape{2}, 1)), b("b", numbers(Shape{2}, 2)), c("c", zeros(3));
  CHECK(error_of([&] { c.tie(a); }) == "parameters 'c' (3) and 'a' (2) cannot be tied: their shapes differ");
  b.tie(a);
  CHECK(b.tied_to(a));
  CHECK(b.name() == "b");
  Tape tape;
  const Tensor y = tape.leaf(a) * 2 + b;
  CHECK(tape.leaf(a).same(tape.leaf(b)));
  backward(test::project(y));
  CHECK(&a.grad() == &b.grad());
  const std::vector<double> w = list(numbers(Shape{2}, 77));
  CHECK(list(a.grad())[0] == doctest::Approx(3 * w[0]));
  b.set(full(Shape{2}, 9));
  CHECK(a.value() == full(Shape{2}, 9));
  Gradients gradients;
  Tape other;
  backward(test::project(other.leaf(b) * 1), gradients);
  CHECK(list(gradients.of(a)) == w);
}

TEST_CASE("a parameter changed after it was recorded is refused by name") {
  const std::string why =
      "parameter 'p' was changed after it was recorded: go backward before an optimizer's step, and record the next "
      "step on a cleared tape";
  Parameter p("p", numbers(Shape{2}, 1)), q("q", numbers(Shape{2}, 2));
  for (bool frozen : {false, true}) {
    p.freeze(frozen);
    Tape tape;
    const Tensor loss = test::project(tape.leaf(p) * q);
    p.edit();
    CHECK(error_of([&] { backward(loss); }) == why);
    CHECK(error_of([&] { grad(loss, q); }) == why);
    CHECK(q.grad() == zeros(2));
  }
}

TEST_CASE("a changed parameter does no harm where it is not read") {
  Parameter p("p", numbers(Shape{2}, 1)), q("q", numbers(Shape{2}, 2));
  Tape tape;
  {
    const NoGrad off(tape);  // say, a look at the validation loss
    test::project(tape.leaf(p) * q);
  }
  p.set(numbers(Shape{2}, 5));
  const Tensor loss = test::project(tape.leaf(p) * 1);
  CHECK(tape.leaf(p).array() == p.value());
  backward(loss);
  CHECK(list(p.grad()) == list(numbers(Shape{2}, 77)));
}

TEST_CASE("a tape cleared after the step goes on") {
  Parameter p("p", full(Shape{}, 1));
  Tape tape;
  for (int step = 0; step < 5; ++step) {
    tape.clear();
    const Tensor loss = tape.leaf(p) * p;
    const double before = p.value().item();
    backward(loss);
    CHECK(p.grad().item() == 2 * before);
    p.set(full(Shape{}, before - 0.25 * p.grad().item()));
    p.zero_grad();
    CHECK(p.value().item() == before / 2);
  }
}

TEST_CASE("a parameter may go while its leaf is on a tape") {
  Tape tape;
  auto p = std::make_unique<Parameter>("p", full(Shape{2}, 3));
  const Tensor y = tape.leaf(*p) * 2;
  p.reset();
  CHECK(list(tape.tensor(0).value()) == std::vector<double>{3, 3});
  CHECK_NOTHROW(backward(test::project(y)));
}

TEST_CASE("substitute stands in for a parameter's value until restore") {
  Tape tape(DType::f64);
  Parameter p("p", full(Shape{2}, 3));
  const Tensor before = tape.leaf(p);
  tape.clear();
  tape.substitute(p, full(Shape{2}, 0.1, DType::f64));
  const Tensor leaf = tape.leaf(p);
  CHECK(list(leaf.value()) == std::vector<double>{0.1, 0.1});
  CHECK(p.value() == full(Shape{2}, 3));
  backward(test::project(leaf * p));
  CHECK(p.grad().at({0}) == doctest::Approx(0.2 * numbers(Shape{2}, 77, DType::f64).at({0})));
  tape.clear();
  tape.substitute(p, full(Shape{2}, 0.2, DType::f64));  // the last one counts
  CHECK(list(tape.leaf(p).value()) == std::vector<double>{0.2, 0.2});
  p.edit();  // the storage is not looked at
  CHECK_NOTHROW(backward(test::project(tape.leaf(p) * 1)));
  tape.clear();
  tape.restore(p);
  CHECK(list(tape.leaf(p).value()) == std::vector<double>{3, 3});
  CHECK(error_of([&] { tape.substitute(p, zeros(3)); }) == "substitute: parameter 'p' has shape (2), not (3)");
  CHECK_FALSE(before.valid());
}

TEST_CASE("a substitute is of one parameter, not of whatever comes to its address") {
  Tape tape;
  for (int i = 0; i < 50; ++i) {
    auto p = std::make_unique<Parameter>("p", full(Shape{}, 1));
    tape.substitute(*p, full(Shape{}, 7));
    p.reset();
    Parameter q("q", full(Shape{}, 1));
    CHECK(tape.leaf(q).item() == 1);
  }
}

TEST_CASE("convert changes the type, and leaves recorded tapes alone") {
  Parameter p("p", full(Shape{2}, 3));
  Tape tape;
  const Tensor leaf = tape.leaf(p);
  p.convert(DType::f64);
  CHECK(p.dtype() == DType::f64);
  CHECK(p.grad().dtype() == DType::f64);
  CHECK(list(leaf.value()) == std::vector<double>{3, 3});
  CHECK(tape.leaf(p).array() == full(Shape{2}, 3));
  CHECK(error_of([&] { p.convert(DType::i32); }) == "parameter 'p' must be f32 or f64, not i32");
}

TEST_CASE("Gradients collects apart from the parameters") {
  Parameter p("p", numbers(Shape{2}, 1)), q("q", numbers(Shape{2}, 2)), unused("u", zeros(4));
  Gradients a, b;
  Tape tape;
  const Tensor loss = test::project(tape.leaf(p) * q);
  backward(loss, a);
  backward(loss, b);
  backward(loss, b);
  CHECK(p.grad() == zeros(2));
  CHECK(a.reached(p));
  CHECK_FALSE(a.reached(unused));
  CHECK(a.of(unused) == zeros(4));
  b.add(a);
  b.commit();
  backward(loss, {});
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(list(b.of(p))[i] == doctest::Approx(3 * list(a.of(p))[i]));
    CHECK(list(p.grad())[i] == doctest::Approx(4 * list(a.of(p))[i]));
  }
  b.clear();
  CHECK_FALSE(b.reached(p));
}
