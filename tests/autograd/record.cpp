#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/elementwise.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

namespace {

// x * factor, as a user would write it, that counts what the engine asks of it.
template <bool strided>
struct ScaleOp {
  static constexpr std::string_view name = strided ? "strided_scale" : "scale";
  static constexpr bool strided_inputs = strided;
  double factor = 1;
  static inline int evals = 0, packed = 0;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const {
    ++evals;
    packed += x[0].contiguous();
    visit_real(y.dtype, [&]<class T>() {
      for (Index r = 0; r < y.rows(); ++r)
        for (Index c = 0; c < y.cols(); ++c) y.row<T>(r)[c] = static_cast<T>(x[0].row<T>(r)[c] * factor);
    });
  }
  void vjp(Vjp& g) const { g.add(0, record(ScaleOp{factor}, {g.dy()})); }
};
using Scale = ScaleOp<false>;
using StridedScale = ScaleOp<true>;

// Rows of a table, by index.
struct Rows {
  static constexpr std::string_view name = "rows";
  static constexpr std::uint32_t integer_inputs = 2;
  Shape infer(std::span<const Shape> in) const { return Shape{in[1].size(), in[0].cols()}; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for (Index r = 0; r < y.rows(); ++r) {
        const Index from = x[1].as<std::int32_t>()[r];
        if (from < 0 || from >= x[0].rows()) throw Error("no row " + std::to_string(from));
        std::copy_n(x[0].row<T>(from), y.cols(), y.row<T>(r));
      }
    });
  }
  void vjp(Vjp& g) const {
    CHECK_FALSE(g.needs(1));
    for (Index r = 0; r < g.y().size(0); ++r)
      g.add_slice(0, record(Slice{0, r, 1}, {g.dy()}), 0, g.x(1).array().at({r}));
  }
};

// Gives its input another shape without touching it, when that is possible.
struct Flat {
  static constexpr std::string_view name = "flat";
  static inline int evals = 0;
  Shape infer(std::span<const Shape> in) const { return Shape{in[0].size()}; }
  bool alias(ConstView x, ConstView& y) const {
    if (!x.contiguous()) return false;
    y = contiguous_view(x.data, Shape{x.size()}, x.dtype);
    return true;
  }
  void eval(std::span<const ConstView> x, View y) const {
    ++evals;
    copy(contiguous_view(x[0].data, y.shape, y.dtype), y);
  }
  void vjp(Vjp& g) const { g.add(0, record(Reshape{g.x(0).shape()}, {g.dy()})); }
};

enum class Fails { nowhere, infer, eval, eval_foreign, infer_foreign };
struct Failing {
  static constexpr std::string_view name = "failing";
  Fails where = Fails::nowhere;
  Shape infer(std::span<const Shape> in) const {
    if (where == Fails::infer) throw Error("refuses " + in[0].str());
    if (where == Fails::infer_foreign) throw std::out_of_range("infer");
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const {
    copy(x[0], y);
    if (where == Fails::eval) throw Error("fails in the middle");
    if (where == Fails::eval_foreign) throw std::logic_error("eval");
  }
};

// An elementwise op that throws in the middle of its loop.
struct Positive {
  static constexpr std::string_view name = "positive";
  template <class T>
  T f(T x) const {
    if (x <= 0) throw Error("not positive");
    return x;
  }
};

// 2 tanh(3 x) + z, with a rule of several steps, one of which leads nowhere.
struct Twice {
  static constexpr std::string_view name = "twice";
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for (Index i = 0; i < y.size(); ++i) y.as<T>()[i] = T(2) * std::tanh(T(3) * x[0].as<T>()[i]) + x[1].as<T>()[i];
    });
  }
  void vjp(Vjp& g) const {
    const Tensor unused = record(Scale{1000}, {g.dy()});
    const Tensor t = tanh(g.x(0) * 3);
    const Tensor slope = 1 - t * t;
    g.add(0, record(Scale{6}, {g.dy() * slope}));
    g.add(1, record(Scale{1}, {g.dy()}));
    CHECK(unused.valid());
  }
};

// Everything that a throw must leave alone.
struct State {
  NodeId nodes;
  std::size_t values;
  explicit State(const Tape& t) : nodes(t.size()), values(t.memory().values) {}
  bool operator==(const State&) const = default;
};

}  // namespace

TEST_CASE("record computes, appends one node, and gives its handle") {
  Tape tape;
  const Tensor x = tape.constant(Array({1.0f, 2.0f}, Shape{2}));
  const NodeId before = tape.size();
  const Tensor y = record(Scale{3}, {x});
  CHECK(tape.size() == before + 1);
  CHECK(list(y.value()) == std::vector<double>{3, 6});
  const Node& n = tape.node(y.index());
  CHECK(n.info == &op_info<Scale>());
  CHECK(static_cast<const Scale*>(n.op)->factor == 3);
  CHECK(n.in().size() == 1);
  CHECK(n.in()[0] == x.index());
  CHECK(n.role == Role::op);
  CHECK(tape.describe(y.index()) == "[scale] (2) (node 1)");
}

TEST_CASE("an op that takes contiguous inputs gets a packed copy of a view, one with strided_inputs the view") {
  Tape tape;
  const Tensor x = tape.constant(arange(12).to(DType::f32).reshaped(Shape{3, 4}));
  const Tensor part = record(Slice{1, 1, 2}, {x});
  CHECK_FALSE(part.value().contiguous());
  for (bool strided : {false, true}) {
    Scale::packed = StridedScale::packed = 0;
    const Tensor y = strided ? record(StridedScale{2}, {part}) : record(Scale{2}, {part});
    CHECK(list(y.value()) == std::vector<double>{2, 4, 10, 12, 18, 20});
    CHECK(Scale::packed == (strided ? 0 : 1));
    CHECK(StridedScale::packed == 0);
  }
}

TEST_CASE("an alias looks at its input's numbers, and is computed where it cannot") {
  Tape tape;
  Flat::evals = 0;
  const Tensor x = tape.variable(arange(12).to(DType::f32).reshaped(Shape{3, 4}));
  const Tensor view = record(Flat{}, {x});
  CHECK(Flat::evals == 0);
  CHECK(view.value().data == x.value().data);
  CHECK_FALSE(tape.node(view.index()).owns_data);
  const Tensor copied = record(Flat{}, {record(Slice{1, 1, 2}, {x})});
  CHECK(Flat::evals == 1);
  CHECK(list(copied.value()) == std::vector<double>{1, 2, 5, 6, 9, 10});
  backward(test::project(copied), {.keep_grads = true});
  const std::vector<double> w = list(numbers(Shape{6}, 77));
  CHECK(list(tape.grad(x)) == std::vector<double>{0, w[0], w[1], 0, 0, w[2], w[3], 0, 0, w[4], w[5], 0});
}

TEST_CASE("integer inputs are checked, and reach the op as indices") {
  Tape tape;
  Parameter table("table", numbers(Shape{4, 2}, 1));
  const Tensor ids = tape.constant(Array({2, 0, 2}, Shape{3}));
  CHECK(ids.dtype() == DType::i32);
  const Tensor y = tape.record(Rows{}, {table, ids});
  CHECK(y.array().at({0, 1}) == table.value().at({2, 1}));
  CHECK(error_of([&] {
          tape.record(Rows{}, {table, tape.constant(zeros(3))});
        }) == "[rows] input 1 must be indices (i32), not f32 (3)");
  CHECK(error_of([&] { tape.record(Rows{}, {table, 1}); }) == "[rows] input 1 must be indices (i32), not f32 ()");
  CHECK(error_of([&] { record(Scale{2}, {ids}); }) == "[scale] input 0 must be real, not i32 (3)");
  CHECK(error_of([&] { tape.record(Rows{}, {table, tape.constant(Array({7}, Shape{1}))}); }) == "[rows] no row 7");
  CHECK(error_of([&] {
          record(Concat{0}, {ids, tape.constant(zeros(3))});
        }) == "[concat] element types differ: i32 and f32");
  backward(test::project(y));
  const std::vector<double> w = list(numbers(Shape{3, 2}, 77));
  const auto f = [](double x) { return static_cast<float>(x); };
  CHECK(list(table.grad()) == std::vector<double>{w[2], w[3], 0, 0, f(w[0] + w[4]), f(w[1] + w[5]), 0, 0});
}

TEST_CASE("numbers and parameters become leaves on the way") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1));
  const Tensor y = tape.leaf(p) * 2;
  CHECK(tape.size() == 3);
  const Tensor z = y + p;
  CHECK(tape.size() == 4);  // the leaf exists already
  CHECK(z.needs_grad());
  CHECK(error_of([&] { add(p, p); }) ==
        "[add] no input is a Tensor, so there is no tape to record on: use tape.leaf(parameter) or "
        "tape.constant(array)");
}

TEST_CASE("whatever an op throws, the tape is as it was") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1)), q("q", numbers(Shape{2}, 2));
  const Tensor x = tape.constant(zeros(2)) + p;
  const State before(tape);
  CHECK(error_of([&] { record(Failing{Fails::infer}, {x}); }) == "[failing] refuses (2)");
  CHECK(State(tape) == before);
  CHECK(error_of([&] { record(Failing{Fails::eval}, {x}); }) == "[failing] fails in the middle");
  CHECK(State(tape) == before);
  CHECK_THROWS_AS(record(Failing{Fails::infer_foreign}, {x}), std::out_of_range);
  CHECK(State(tape) == before);
  CHECK_THROWS_AS(record(Failing{Fails::eval_foreign}, {x}), std::logic_error);
  CHECK(State(tape) == before);
  CHECK(error_of([&] { record(Elementwise<Positive>{}, {x - 9}); }) == "[positive] not positive");
  tape.rewind(tape.mark());
  CHECK(tape.size() == before.nodes + 2);  // of x - 9, which did succeed
  CHECK(record(Failing{}, {x}).valid());
  CHECK(x.valid());
}

TEST_CASE("an elementwise op that throws in its loop leaves the tape as it was, broadcasting or not") {
  Tape tape;
  const Tensor x = tape.constant(Array({1.0f, -1.0f}, Shape{2}));
  const State before(tape);
  CHECK(error_of([&] { record(Elementwise<Positive>{}, {x}); }) == "[positive] not positive");
  CHECK(State(tape) == before);
}

TEST_CASE("leaves and numbers made on the way to a throw are taken back") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1)), q("q", numbers(Shape{3}, 2));
  const Tensor x = tape.constant(zeros(2));
  const State before(tape);
  CHECK_THROWS_AS(add(x, q), Error);
  CHECK(State(tape) == before);
  CHECK_THROWS_AS(record(Failing{Fails::eval}, {x, p, q, 2.5}), Error);
  CHECK(State(tape) == before);
  Tensor y = x + p;  // its leaf is a new one, and works
  CHECK(tape.size() == before.nodes + 2);
  backward(test::project(y));
  CHECK(list(p.grad()) == list(numbers(Shape{2}, 77)));
  // A leaf that was there before stays what it is.
  CHECK_THROWS_AS(record(Failing{Fails::eval}, {x, p, q}), Error);
  CHECK(tape.leaf(p).index() == y.index() - 1);
}

TEST_CASE("an op with many inputs is taken back too") {
  Tape tape;
  const Tensor x = tape.constant(zeros(2)), other = tape.constant(zeros(3));
  std::vector<Operand> many(100, x);
  CHECK(record(AddN{}, std::span<const Operand>(many)).valid());
  many.emplace_back(other);
  const State before(tape);
  CHECK(error_of([&] { record(AddN{}, std::span<const Operand>(many)); }) == "[add_n] shapes differ: (2) and (3)");
  CHECK(State(tape) == before);
}

TEST_CASE("a rule computes each of its ops once, whatever it adds, and elementwise ones in between") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers(Shape{5}, 1)), z = tape.variable(numbers(Shape{5}, 2));
  const Tensor y = record(Twice{}, {x, z});
  const NodeId before = tape.size();
  const Tensor loss = test::project(y);
  Scale::evals = 0;
  backward(loss, {.keep_grads = true});
  CHECK(Scale::evals == 2);
  CHECK(tape.size() > before);
  const std::vector<double> w = list(numbers(Shape{5}, 77, DType::f64)), at = list(x.value());
  for (std::size_t i = 0; i < 5; ++i) {
    const double t = std::tanh(3 * at[i]);
    CHECK(list(tape.grad(x))[i] == doctest::Approx(w[i] * 6 * (1 - t * t)).epsilon(1e-12));
    CHECK(list(tape.grad(z))[i] == w[i]);
  }
}
