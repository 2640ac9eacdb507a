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
  CHECK(error_of([&] { backward(loss); }) == "parameter 'q' (3): its grad was replaced by f32 (5)");
  CHECK(m.p.grad() == zeros(2, 3));
  Gradients apart;
  backward(loss, apart);
  CHECK(error_of([&] { apart.commit(); }) == "parameter 'q' (3): its grad was replaced by f32 (5)");
  CHECK(m.p.grad() == zeros(2, 3));
}

// ---- The order of sums
// -----------------------------------------------------------------------------------------------

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

// ---- What survives
// ---------------------------------------------------------------------------------------------------

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
