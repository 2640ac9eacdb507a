#include <cmath>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;
using test::same_bits;

namespace {

// Its rule fails, after it has added something.
struct BadRule {
  static constexpr std::string_view name = "bad_rule";
  int kind = 0;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
  void vjp(Vjp& g) const {
    g.add(0, g.dy());
    if (kind == 0) throw Error("the rule fails");
    if (kind == 1) g.add(1, g.dy());
    if (kind == 2) g.x(-1);
    if (kind == 3) g.add(0, record(Reshape{Shape{g.dy().size()}}, {g.dy()}));
    if (kind == 4) g.add_slice(0, g.dy(), 0, 1);
    if (kind == 5) g.add_slice(0, g.dy(), 7, 0);
    if (kind == 6) g.add(0, g.dy().tape().constant(Array(g.dy().shape(), DType::i32)));
    if (kind == 7) g.dy().tape().clear();
    if (kind == 8) backward(g.dy());
    if (kind == 9) record(SumTo{Shape{}}, {g.dy()}).item();
    if (kind == 10) throw std::logic_error("foreign");
    if (kind == 11) g.needs(3);
    if (kind == 12) g.dy().tape().rewind(TapeMark{});
  }
};

struct Parameters {
  Parameter p{"p", numbers(Shape{2, 3}, 1)}, q{"q", numbers(Shape{3}, 2)};
};

}  // namespace

TEST_CASE("backward adds dy/dp to every parameter below, also across tapes") {
  Parameters m;
  for (int round = 1; round <= 2; ++round) {
    Tape tape;
    backward(test::project(tape.leaf(m.p) + m.q));
    const Array w = numbers(Shape{2, 3}, 77);
    for (Index i = 0; i < 6; ++i) CHECK(m.p.grad().at({i / 3, i % 3}) == round * w.at({i / 3, i % 3}));
    for (Index j = 0; j < 3; ++j)
      CHECK(m.q.grad().at({j}) == doctest::Approx(round * (w.at({0, j}) + w.at({1, j}))).epsilon(1e-6));
  }
  m.p.zero_grad();
  CHECK(m.p.grad() == zeros(2, 3));
}

TEST_CASE("backward twice on one graph adds twice") {
  Tape tape;
  Parameter p("p", numbers(Shape{4}, 1));
  const Tensor loss = test::project(tanh(tape.leaf(p)));
  backward(loss);
  const std::vector<double> once = list(p.grad());
  const NodeId size = tape.size();
  backward(loss);
  CHECK(tape.size() == size);
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(list(p.grad())[i] == 2 * once[i]);
}

TEST_CASE("a cotangent other than one") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers(Shape{2, 2}, 1, DType::f64));
  const Tensor y = x * x;
  const Array dy({1.0, -2.0, 0.5, 3.0}, Shape{2, 2});
  backward(y, {.cotangent = tape.constant(dy)});
  for (std::size_t i = 0; i < 4; ++i) CHECK(list(tape.grad(x))[i] == 2 * list(x.value())[i] * list(dy)[i]);
  CHECK(error_of([&] { backward(y, {.cotangent = tape.constant(zeros(4))}); }) ==
        "[mul] (2, 2) (node 1): the cotangent must have this shape, not (4)");
  CHECK(error_of([&] { grad(y, x, {.cotangent = tape.constant(1)}); }) ==
        "[mul] (2, 2) (node 1): the cotangent must have this shape, not ()");
}

TEST_CASE("a cotangent may be part of the graph itself") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({2.0, 3.0}, Shape{2}));
  const Tensor y = x * x;
  backward(y, {.cotangent = x});  // y' = 2x, times x
  CHECK(list(tape.grad(x)) == std::vector<double>{8, 18});
  CHECK(list(grad(y, x, {.cotangent = x}).value()) == std::vector<double>{8, 18});
}

TEST_CASE("backward needs a scalar, and something to differentiate") {
  Tape tape;
  const Tensor x = tape.variable(zeros(2)), c = tape.constant(1);
  CHECK(error_of([&] { backward(x * 2); }) ==
        "[mul] (2) (node 3): backward starts from a scalar, such as a mean or a sum of it; or pass {.cotangent = "
        "dL/dy}");
  CHECK(error_of([&] { backward(c); }) ==
        "[fill] () (node 1): nothing it depends on needs a gradient: every parameter is frozen, detached, or was "
        "used under NoGrad");
  CHECK_NOTHROW(backward(record(Reshape{Shape{1, 1}}, {test::project(x)})));  // one element is enough
}

TEST_CASE("backward from a leaf itself") {
  Tape tape;
  Parameter p("p", full(Shape{}, 5));
  backward(tape.leaf(p));
  CHECK(p.grad().item() == 1);
}

TEST_CASE("a throw in a rule leaves parameters, tape and handles as they were") {
  Parameters m;
  m.p.grad().fill(7);
  for (int kind = 0; kind <= 12; ++kind) {
    CAPTURE(kind);
    Tape tape;
    const Tensor leaf = tape.leaf(m.p);
    const Tensor y = record(BadRule{kind}, {leaf * m.q});
    const Tensor loss = test::project(y + leaf);
    const NodeId size = tape.size();
    const std::size_t bytes = tape.memory().values;
    CHECK_THROWS(backward(loss));
    CHECK(m.p.grad() == full(Shape{2, 3}, 7));
    CHECK(m.q.grad() == zeros(3));
    CHECK(tape.size() == size);
    CHECK(tape.memory().values == bytes);
    CHECK(tape.memory().gradients == 0);
    CHECK_FALSE(tape.has_grad(leaf));
    if (kind != 9) CHECK_THROWS(grad(loss, leaf));  // there the values are known
    CHECK((kind == 9 || tape.size() == size));
    CHECK((loss * 2).valid());  // the tape goes on
  }
}

TEST_CASE("what is wrong with a rule is said") {
  const auto message = [](int kind) {
    Tape tape;
    const Tensor x = tape.variable(zeros(2, 3));
    const Tensor loss = test::project(record(BadRule{kind}, {x}));
    return error_of([&] { backward(loss); });
  };
  CHECK(message(0) == "the rule fails");
  CHECK(message(1) == "[bad_rule] its gradient rule asks for input 1 of 1");
  CHECK(message(2) == "[bad_rule] its gradient rule asks for input -1 of 1");
  CHECK(message(3) == "[sum_to] cannot sum (6) to (2, 3)");
  CHECK(message(4) ==
        "[bad_rule] its gradient rule gives f32 (2, 3) to input [variable] (2, 3) (node 0), or to a part that it does "
        "not have");
  CHECK(message(5) == message(4));
  CHECK(message(6).find("[bad_rule] its gradient rule gives i32 (2, 3)") == 0);
  CHECK(message(7) == "clear() cannot be called from a gradient rule");
  CHECK(message(8) == "backward cannot be called from a gradient rule");
  CHECK(message(9).find("it has no value while its gradient rule runs") != std::string::npos);
  CHECK(message(12) == "rewind() cannot be called from a gradient rule");
}

TEST_CASE("a gradient that was replaced by one of another shape is refused, before any is changed") {
  Tape tape;
  Parameters m;
  const Tensor loss = test::project(tape.leaf(m.p) * m.q);
  m.q.grad() = zeros(5);
  CHECK(error_of([&] { backward(loss); }) ==
        "parameter 'q' (3): its grad was replaced by f32 (5): set it to zeros of that shape, f32");
  CHECK(m.p.grad() == zeros(2, 3));
  Gradients apart;
  backward(loss, apart);
  CHECK(error_of([&] { apart.commit(); }) ==
        "parameter 'q' (3): its grad was replaced by f32 (5): set it to zeros of that shape, f32");
  CHECK(m.p.grad() == zeros(2, 3));
}

// ---- What survives

TEST_CASE("gradients are recycled unless they are kept") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1));
  const Tensor leaf = tape.leaf(p), x = tape.variable(numbers(Shape{2}, 2)), c = tape.constant(zeros(2));
  const Tensor y = leaf * x + c, unused = x * 2;
  const Tensor loss = test::project(y);
  CHECK(error_of([&] { tape.grad(y); }).find("no backward has kept one: call backward(loss, {.keep_grads = true})") !=
        std::string::npos);
  backward(loss);
  CHECK_FALSE(tape.has_grad(y));
  CHECK_FALSE(tape.has_grad(leaf));
  CHECK(tape.has_grad(x));  // a variable has nowhere else to leave it
  CHECK(error_of([&] { tape.grad(y); }).find("the last backward did not reach it, or did not keep it") !=
        std::string::npos);
  CHECK(error_of([&] { tape.grad(c); }) ==
        "[constant] (2) (node 2): no gradient: it needs no gradient (a constant, or recorded under NoGrad)");

  backward(loss, {.keep_grads = true});
  CHECK(list(tape.grad(y)) == list(numbers(Shape{2}, 77)));
  CHECK(list(tape.grad(loss)) == std::vector<double>{1});
  CHECK(tape.has_grad(leaf));
  CHECK_FALSE(tape.has_grad(unused));
  backward(loss);
  CHECK_FALSE(tape.has_grad(y));
}

TEST_CASE("keep keeps one gradient") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{2}, 1));
  const Tensor a = x * 2, b = a + 1, c = record(Reshape{Shape{2, 1}}, {b}), d = tanh(c);
  for (Tensor t : {a, b, c}) tape.keep(t);
  backward(test::project(d));
  for (Tensor t : {a, b, c}) CHECK(tape.has_grad(t));
  CHECK_FALSE(tape.has_grad(d));
  CHECK(list(tape.grad(a)) == list(tape.grad(b)));
  CHECK(list(tape.grad(c)) == list(tape.grad(b)));
  CHECK(list(tape.grad(x))[0] == 2 * list(tape.grad(a))[0]);
}

TEST_CASE("backward's peak beyond the values is the gradients that are alive, not all of them") {
  Tape tape;
  const Index n = 10000;
  const Tensor x = tape.variable(zeros(n));
  Tensor y = x;
  for (int i = 0; i < 100; ++i) y = tanh(y);
  const Tensor loss = test::project(y);
  const std::size_t values = tape.memory().values, one = static_cast<std::size_t>(n) * 4;
  tape.reset_peak();
  backward(loss);
  CHECK(tape.memory().peak <= values + 6 * one);
  CHECK(tape.memory().gradients <= one * 5 / 4);  // x's
  tape.reset_peak();
  backward(loss, {.keep_grads = true});
  CHECK(tape.memory().peak >= values + 100 * one);
}
