#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

TEST_CASE("release_values releases all values but the loss and what was kept") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{3}, 1));
  const Tensor a = tanh(x), b = a * 2, c = b + 1;
  tape.keep(b);
  const Tensor loss = test::project(c);
  const double value = loss.item();
  const std::vector<double> kept = list(b.value());
  backward(loss, {.release_values = true});
  CHECK(loss.item() == value);
  CHECK(list(b.value()) == kept);
  CHECK(x.array() == numbers(Shape{3}, 1));  // leaves are no ops
  CHECK(error_of([&] { a.value(); }) ==
        "[tanh] (3) (node 1): its value was released by backward: mark it with tape.keep() before");
  CHECK(error_of([&] { c.item(); }).find("its value was released by backward") != std::string::npos);
  CHECK(a.valid());
  CHECK(a.shape() == Shape{3});
}

TEST_CASE("the gradients are those of a backward that releases nothing") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{3}, 1));
  const Tensor loss = test::project(tanh(x * x) / (x + 3) + x);
  backward(loss);
  const std::vector<double> expected = list(tape.grad(x));
  backward(loss, {.release_values = true});
  CHECK(list(tape.grad(x)) == expected);
}

TEST_CASE("an op on a released value is an error that names it") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{3}, 1));
  const Tensor a = tanh(x), b = record(Reshape{Shape{3, 1}}, {a});
  const Tensor loss = test::project(a);
  backward(loss + test::project(b), {.release_values = true});
  const std::string why = ": its value was released by backward: mark it with tape.keep() before";
  const NodeId size = tape.size();
  CHECK(error_of([&] { tanh(a); }) == "[tanh] [tanh] (3) (node 1)" + why);
  CHECK(error_of([&] { a + x; }) == "[add] [tanh] (3) (node 1)" + why);
  CHECK(error_of([&] { x + a; }) == "[add] [tanh] (3) (node 1)" + why);
  CHECK(error_of([&] { b + x; }) == "[add] [reshape] (3, 1) (node 2)" + why);
  CHECK(error_of([&] { record(Slice{0, 0, 1}, {a}); }) == "[slice] [tanh] (3) (node 1)" + why);
  CHECK(error_of([&] { record(SumTo{Shape{}}, {a}); }) == "[sum_to] [tanh] (3) (node 1)" + why);
  CHECK(error_of([&] { detach(a); }) == "[detach] [tanh] (3) (node 1)" + why);
  CHECK(tape.size() == size);
}

TEST_CASE("a second backward through released values is an error, before anything changes") {
  Tape tape;
  Parameter p("p", numbers(Shape{3}, 1));
  const Tensor c = tanh(tape.constant(numbers(Shape{3}, 2)));  // needs no gradient, but the rule of mul reads it
  const Tensor y = tape.leaf(p) * c;
  tape.keep(y);
  const Tensor loss = test::project(y);
  backward(loss, {.release_values = true});
  const Array grad_before = p.grad();
  for (Tensor t : {loss, test::project(y, 3)}) {
    CHECK(error_of([&] { backward(t); }).find("[tanh] (3) (node 1): its value was released by an earlier backward") ==
          0);
    CHECK(error_of([&] { grad(t, p); }).find("released by an earlier backward") != std::string::npos);
  }
  CHECK(p.grad() == grad_before);
}

TEST_CASE("after a release the tape goes on from what was kept and cut") {
  Tape tape;
  Parameter p("p", full(Shape{2}, 0.5));
  Tensor h = tape.constant(zeros(2));
  for (int chunk = 0; chunk < 3; ++chunk) {
    h = tanh(h * p + 1);
    tape.keep(h);
    backward(test::project(h), {.release_values = true});
    h = detach(h);
  }
  Tape whole;  // the same with a tape for each chunk
  Parameter q("q", full(Shape{2}, 0.5));
  Array carried = zeros(2);
  for (int chunk = 0; chunk < 3; ++chunk) {
    whole.clear();
    const Tensor g = tanh(whole.constant(carried) * q + 1);
    backward(test::project(g));
    carried = g.array();
  }
  CHECK(p.grad() == q.grad());
  CHECK(p.grad().at({0}) != 0);
}

TEST_CASE("clear forgets that values were released") {
  Tape tape;
  for (int i = 0; i < 2; ++i) {
    tape.clear();
    const Tensor x = tape.variable(numbers(Shape{3}, 1));
    const Tensor loss = test::project(tanh(x));
    CHECK_NOTHROW(backward(loss));
    CHECK_NOTHROW(backward(loss, {.release_values = true}));
    CHECK_THROWS_AS(backward(loss), Error);
  }
}

TEST_CASE("values and gradients: either, both, or none") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{2}, 1));
  const Tensor y = x * 3;
  backward(test::project(y), {.keep_grads = true, .release_values = true});
  CHECK(list(tape.grad(y)) == list(numbers(Shape{2}, 77)));
  CHECK_THROWS_AS(y.value(), Error);
  CHECK_NOTHROW(tape.check_finite());
}

TEST_CASE("released memory is used again: a tape that goes on does not grow") {
  Tape tape;
  Parameter p("p", full(Shape{300}, 0.5));
  Tensor h = tape.constant(zeros(300));
  std::vector<std::size_t> values;
  for (int chunk = 0; chunk < 6; ++chunk) {
    for (int t = 0; t < 4; ++t) h = tanh(h * p + 1);
    h = detach(h);
    tape.keep(h);
    backward(test::project(h * p), {.release_values = true});
    values.push_back(tape.memory().reserved);
  }
  CHECK(values[5] == values[1]);
}

TEST_CASE("memory that a kept view, a later view or the loss looks at is not used again") {
  Tape tape;
  const Tensor x = tape.variable(numbers(Shape{2, 4}, 1));
  const Tensor a = tanh(x), kept = record(Slice{0, 0, 1}, {a}), b = a * x;
  const Tensor loss = record(Reshape{Shape{1, 1}}, {sum(b)}),
               later = record(Slice{0, 1, 1}, {record(Slice{1, 0, 4}, {b})});
  tape.keep(kept);
  const double value = loss.item();
  const std::vector<double> first = list(kept.value()), second = list(later.value());
  backward(loss, {.release_values = true});
  std::vector<Tensor> anew;
  for (int i = 0; i < 5; ++i) {
    anew.push_back(x + 100);
    anew.push_back(sum(x));
  }
  CHECK(loss.item() == value);
  CHECK(list(kept.value()) == first);
  CHECK(list(later.value()) == second);
}
