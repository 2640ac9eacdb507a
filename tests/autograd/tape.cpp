#include <memory>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

namespace {

Array one(double value) { return full(Shape{}, value); }

}  // namespace

// ---- Leaves

TEST_CASE("leaves take the tape's real type, indices stay indices") {
  Tape f(DType::f32), d(DType::f64);
  CHECK(f.dtype() == DType::f32);
  CHECK(f.constant(Array({0.1}, Shape{1})).array() == Array({0.1f}, Shape{1}));
  CHECK(d.constant(Array({0.1f}, Shape{1})).array() == Array({static_cast<double>(0.1f)}, Shape{1}));
  CHECK(d.constant(0.1).item() == 0.1);
  CHECK(f.constant(0.1).item() == static_cast<double>(0.1f));
  CHECK(f.constant(3, Shape{2, 2}).array() == full(Shape{2, 2}, 3));
  CHECK(d.constant(arange(3)).dtype() == DType::i32);
  CHECK(error_of([] { static_cast<void>(Tape(DType::i32)); }) == "a tape computes in f32 or f64, not i32");
  CHECK(error_of([&] { f.variable(arange(3)); }) == "a variable must be f32 or f64, not indices (i32)");
  CHECK(f.variable(zeros(2)).needs_grad());
  CHECK_FALSE(f.constant(zeros(2)).needs_grad());
}

TEST_CASE("a leaf is a copy of what it was made from") {
  Tape tape;
  Array a = full(Shape{2}, 1);
  const Tensor x = tape.constant(a);
  a.fill(9);
  CHECK(list(x.value()) == std::vector<double>{1, 1});
}

TEST_CASE("an array without elements is a value too") {
  Tape tape;
  const Tensor x = tape.constant(zeros(0)), y = tape.variable(zeros(3, 0));
  CHECK(x.array() == zeros(0));
  CHECK(tanh(x).array() == zeros(0));
  CHECK((y + 1).array() == zeros(3, 0));
  const Tensor sum = record(SumTo{Shape{}}, {y * y});
  CHECK(sum.item() == 0);
  backward(sum);
  CHECK(tape.grad(y).shape == Shape{3, 0});
  CHECK_NOTHROW(tape.check_finite());
}

TEST_CASE("an input is for tracing") {
  Tape tape;
  CHECK(error_of([&] { tape.input(Shape{2}, DType::f32); }) ==
        "tape.input() is for tracing: use constant() or variable()");
}

TEST_CASE("nodes are found by number, and their handles by node") {
  Tape tape;
  const Tensor x = tape.constant(1), y = -x;
  CHECK(tape.tensor(y.index()).same(y));
  CHECK(tape.id(y) == y.index());
  CHECK(error_of([&] { tape.tensor(2); }) == "no node 2 on a tape of 2");
  CHECK(error_of([&] { tape.parameter_of(tape.node(0)); }) == "not a parameter leaf");
}

// ---- Marks

TEST_CASE("rewind forgets what came after the mark, nothing else") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{3}, 1));
  const TapeMark mark = tape.mark();
  const std::size_t values = tape.memory().values;
  for (int i = 0; i < 3; ++i) {
    const Tensor y = tanh(x) * 2;
    backward(test::project(y));
    CHECK(y.valid());
    tape.rewind(mark);
    CHECK(tape.size() == 1);
    CHECK(tape.memory().values == values);
    CHECK_FALSE(y.valid());
    CHECK(x.valid());
  }
}

TEST_CASE("marks nest") {
  Tape tape;
  const Tensor a = tape.constant(1);
  const TapeMark outer = tape.mark();
  const Tensor b = a + 1;
  const TapeMark inner = tape.mark();
  const Tensor c = b + 1;
  tape.rewind(inner);
  CHECK(b.valid());
  CHECK_FALSE(c.valid());
  tape.rewind(inner);  // twice is fine
  const Tensor d = b * 2;
  CHECK(d.item() == 4);
  tape.rewind(outer);
  CHECK(a.valid());
  CHECK_FALSE(b.valid());
  CHECK(error_of([&] { tape.rewind(inner); }) == "rewind: the tape was cleared or rewound past this mark");
}

TEST_CASE("a mark that is forgotten is an error, also when the tape is as long again") {
  Tape tape;
  const Tensor a = tape.constant(1);
  const TapeMark before = tape.mark();
  a + 1;
  const TapeMark mark = tape.mark();
  tape.rewind(before);
  a + 1;
  const NodeId size = tape.size();
  CHECK_THROWS_AS(tape.rewind(mark), Error);
  tape.clear();
  CHECK_THROWS_AS(tape.rewind(before), Error);
  tape.constant(1);
  a.valid();
  tape.constant(1);
  CHECK(tape.size() <= size);
  CHECK_THROWS_AS(tape.rewind(mark), Error);
}

TEST_CASE("a mark of an empty tape clears it") {
  Tape tape;
  const TapeMark start = tape.mark();
  tape.constant(zeros(100000));
  tape.rewind(start);
  CHECK(tape.size() == 0);
  CHECK(tape.memory().values == 0);
}

TEST_CASE("a mark of another tape is an error") {
  Tape a, b;
  a.constant(zeros(100000));
  b.constant(1);
  CHECK(error_of([&] { b.rewind(a.mark()); }) == "rewind: the mark is of another tape");
  CHECK(error_of([&] { b.rewind(TapeMark{}); }) == "rewind: the mark is of another tape");
  const TapeMark mark = a.mark();
  const Tape moved = std::move(a);
  CHECK(moved.size() == 1);
  CHECK(mark.nodes == 1);
}

TEST_CASE("leaves made after a mark are made anew after rewind") {
  Tape tape;
  std::vector<std::unique_ptr<Parameter>> p;
  for (int i = 0; i < 200; ++i) p.push_back(std::make_unique<Parameter>("p", numbers(Shape{1}, i)));
  std::vector<Tensor> kept;
  for (int i = 0; i < 70; ++i) kept.push_back(tape.leaf(*p[static_cast<std::size_t>(i)]));
  const TapeMark mark = tape.mark();
  for (int round = 0; round < 3; ++round) {
    for (auto& q : p) tape.leaf(*q);
    CHECK(tape.size() == 200);
    for (std::size_t i = 0; i < 70; ++i) CHECK(tape.leaf(*p[i]).same(kept[i]));
    for (auto& q : p) CHECK(tape.leaf(*q).array() == q->value());
    CHECK(tape.size() == 200);
    tape.rewind(mark);
    CHECK(tape.size() == 70);
  }
}

TEST_CASE("a leaf that was made anew is found again after rewind to the first") {
  Tape tape;
  Parameter p("p", one(1));
  const Tensor first = tape.leaf(p);
  const TapeMark mark = tape.mark();
  p.set(one(2));
  const Tensor second = tape.leaf(p);
  CHECK_FALSE(first.same(second));
  tape.rewind(mark);
  CHECK_FALSE(second.valid());
  CHECK(tape.leaf(p).item() == 2);
}

TEST_CASE("gradients kept before a mark survive rewind, later ones do not") {
  Tape tape;
  const Tensor x = tape.variable(one(3));
  const TapeMark mark = tape.mark();
  const Tensor y = x * x;
  backward(y, {.keep_grads = true});
  CHECK(tape.grad(x).size() == 1);
  tape.rewind(mark);
  CHECK(list(tape.grad(x)) == std::vector<double>{6});
  const Tensor z = x * 2;
  CHECK_FALSE(tape.has_grad(z));
}

// ---- Randomness

TEST_CASE("draws are numbered in program order, from 0 after clear, and go back with rewind") {
  Tape tape;
  CHECK(tape.next_draw() == 0);
  CHECK(tape.next_draw() == 1);
  tape.constant(1);
  const TapeMark mark = tape.mark();
  CHECK(tape.next_draw() == 2);
  tape.rewind(mark);
  CHECK(tape.next_draw() == 2);
  tape.clear();
  CHECK(tape.next_draw() == 0);
}

TEST_CASE("the random key holds seed and step, and is one leaf until they change") {
  Tape tape(TapeOptions{.seed = 0x123456789abcdef0});
  tape.set_step(5);
  const Tensor key = tape.random_key();
  CHECK(key.array() == Array({static_cast<std::int32_t>(0x9abcdef0), 0x12345678, 5, 0}, Shape{4}));
  CHECK(tape.random_key().same(key));
  tape.set_step(6);
  CHECK_FALSE(tape.random_key().same(key));
  CHECK(tape.random_key().array().at({2}) == 6);
  tape.set_seed(1);
  CHECK(tape.random_key().array().at({0}) == 1);
  const TapeMark mark = tape.mark();
  tape.set_seed(2);
  tape.random_key();
  tape.rewind(mark);
  CHECK(tape.random_key().array().at({0}) == 2);
  tape.clear();
  CHECK(tape.random_key().array().at({0}) == 2);
}

TEST_CASE("a tape that was moved from says so") {
  Tape tape;
  const Tensor x = tape.variable(full({2}, 3));
  Tape other(std::move(tape));
  CHECK(sum(x).item() == 6);  // handles go with it
  CHECK(error_of([&] { tape.size(); }) == "this tape was moved from: use the one it was moved to");
  CHECK(error_of([&] { tape.constant(1); }) == "this tape was moved from: use the one it was moved to");
  tape = Tape();
  CHECK(tape.size() == 0);
}
