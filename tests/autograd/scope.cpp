#include <optional>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

// ---- Scopes

TEST_CASE("a node knows the path of its scope") {
  Tape tape;
  const Tensor a = tape.constant(1);
  Tensor b, c;
  {
    const Scope outer(tape, "encoder");
    b = -a;
    const Scope inner(tape, "t", 7);
    c = -b;
  }
  const Tensor d = -c;
  CHECK(tape.scope_path(tape.node(a.index()).scope) == "");
  CHECK(tape.scope_path(tape.node(b.index()).scope) == "encoder");
  CHECK(tape.scope_path(tape.node(c.index()).scope) == "encoder/t=7");
  CHECK(tape.scope_path(tape.node(d.index()).scope) == "");
  CHECK(tape.describe(c.index()) == "[neg] () (node 2), in encoder/t=7");
  CHECK(tape.scope_parent(tape.node(c.index()).scope) == tape.node(b.index()).scope);
  CHECK(error_of([&] { tape.close_scope(); }) == "close_scope: no scope is open");
}

TEST_CASE("open scopes stay open through clear and rewind, and are not remembered without end") {
  Tape tape;
  const Scope training(tape, "training");
  std::uint32_t most = 0;
  for (int step = 0; step < 100; ++step) {
    tape.clear();
    const Scope s(tape, "step", step);
    const Tensor x = tape.constant(1);
    const TapeMark mark = tape.mark();
    for (int t = 0; t < 10; ++t) {
      const Scope at(tape, "t", t);
      const Tensor y = -x;
      CHECK(tape.scope_path(tape.node(y.index()).scope) ==
            "training/step=" + std::to_string(step) + "/t=" + std::to_string(t));
      most = std::max(most, tape.node(y.index()).scope);
      tape.rewind(mark);
    }
  }
  CHECK(most <= 2 + 10);  // those of one step
}

TEST_CASE("rewind within a scope that was opened after the mark") {
  Tape tape;
  const Tensor x = tape.constant(1);
  const TapeMark mark = tape.mark();
  const Scope a(tape, "a");
  -x;
  const Scope b(tape, "b");
  -x;
  tape.rewind(mark);
  const Tensor y = -x;
  CHECK(tape.scope_path(tape.node(y.index()).scope) == "a/b");
}

TEST_CASE("a mark taken in a scope serves after it is closed") {
  Tape tape;
  std::optional<Scope> scope(std::in_place, tape, "a");
  const Tensor x = tape.constant(1);
  const TapeMark mark = tape.mark();
  scope.reset();
  const Tensor y = -x;
  tape.rewind(mark);
  CHECK(tape.scope_path(tape.node(x.index()).scope) == "a");
  const Tensor z = -x;
  CHECK(tape.scope_path(tape.node(z.index()).scope) == "");
  CHECK_FALSE(y.valid());
}

TEST_CASE("scopes and NoGrad follow a tape that moves") {
  std::optional<Tape> first(std::in_place);
  const Tensor x = first->variable(full(Shape{}, 1));
  std::optional<Scope> scope(std::in_place, *first, "a");
  std::optional<NoGrad> off(std::in_place, *first);
  Tape tape = std::move(*first);
  first.reset();
  CHECK_FALSE((-x).needs_grad());
  CHECK(tape.scope_path(tape.node(tape.size() - 1).scope) == "a");
  off.reset();
  scope.reset();
  CHECK((-x).needs_grad());
  CHECK(tape.scope_path(tape.node(tape.size() - 1).scope) == "");
}

// ---- NoGrad and detach

TEST_CASE("nothing recorded under NoGrad needs a gradient") {
  Tape tape;
  Parameter p("p", numbers(Shape{2}, 1));
  const Tensor x = tape.variable(numbers(Shape{2}, 2));
  Tensor y;
  {
    const NoGrad off(tape);
    CHECK_FALSE(tape.recording_gradients());
    { const NoGrad again(tape); }
    CHECK_FALSE(tape.recording_gradients());
    y = x * p;
    CHECK_FALSE(y.needs_grad());
    CHECK_FALSE(tape.leaf(p).needs_grad());
  }
  CHECK(tape.recording_gradients());
  CHECK(tape.leaf(p).needs_grad());
  CHECK(error_of([&] { backward(test::project(y)); }).find("needs a gradient") != std::string::npos);
  backward(test::project(x * y));
  CHECK(p.grad() == zeros(2));
  CHECK(tape.has_grad(x));
}

TEST_CASE("detach keeps the value and cuts the gradient") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 3));
  const Tensor cut = detach(x);
  CHECK(cut.item() == 3);
  CHECK_FALSE(cut.needs_grad());
  CHECK(cut.value().data == x.value().data);
  CHECK(tape.node(cut.index()).info->name == "detach");
  backward(x * cut);
  CHECK(list(tape.grad(x)) == std::vector<double>{3});
  CHECK(detach(tape.constant(arange(2))).dtype() == DType::i32);
}

TEST_CASE("close_scope() inside a Scope ends no program") {
  Tape tape;
  {
    const Scope scope(tape, "a");
    tape.close_scope();
  }
  CHECK(tape.scope_path(tape.node(tape.constant(zeros(1)).index()).scope).empty());
  CHECK_THROWS_WITH_AS(tape.close_scope(), "close_scope: no scope is open", Error);
}
