// What a trace reads: a change traces again, or is refused.
#include <array>
#include <optional>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/variational_dropout.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/optim/weight_average.h>
#include <rewind/ops/ops.h>

#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

const Array three({3.0f}, Shape{1});

/// What compiling `f` says.
template <class F>
std::string complaint(F f) {
  try {
    compile(f, three);
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing";
}

class Dropping : public Module {
 public:
  Tensor operator()(Tensor x) const { return training() ? dropout(x, 0.5) : x; }
};

TEST_CASE("train() and eval(), of a module at any depth, are seen by a plan that was traced before") {
  class Outer : public Module {
   public:
    Dropping& inner = child("inner", Dropping());
  };
  Outer model;
  const Array x = full({100}, 1);
  auto f = compile([&](Tape&, Tensor in) { return model.inner(in); }, x);
  const auto kept = [&] {
    const Array y = f(x).array();
    return std::count(y.span<float>().begin(), y.span<float>().end(), 1.0f);
  };
  CHECK(kept() == 0);  // 0 or 2
  model.eval();
  CHECK(kept() == 100);
  model.train();
  CHECK(kept() == 0);
  CHECK(f.plans() == 2);  // both are kept
  Outer moved = std::move(model);
  moved.eval();
  CHECK(f.plans() == 2);
}

TEST_CASE("a recurrent cell's dropout follows its mode, too") {
  Rng rng(1);
  VariationalDropout cell(LstmCell(3, 4, rng), {.input = 0.5, .recurrent = 0.5});
  const Array x = random_array(Shape{2, 3}, 2);
  const auto step = [&](Tape& tape, Tensor in) { return cell.step(in, cell.zero_state(tape, 2)).h; };
  auto f = compile(step, x);
  for (const bool training : {true, false, true}) {
    cell.train(training);
    f.set_step(0);  // calls count steps, and the tape is new
    Tape tape;
    CHECK(difference(f(x).array(), step(tape, tape.constant(x)).array()) < 1e-6);
  }
}

TEST_CASE("a parameter that is tied after compile is the one it is tied to") {
  Parameter a("a", Array({2.0f}, Shape{1})), b("b", Array({100.0f}, Shape{1}));
  auto f = compile(
      [&](Tape&, Tensor x) {
        const Tensor y = total(x * a + b);
        backward(y);
        return y;
      },
      three);
  CHECK(f(three).item() == 106);
  CHECK(a.grad().item() == 3);
  a.tie(b);
  CHECK(f(three).item() == 400);
  CHECK(b.grad().item() == 5);  // 1 before, and 1 + 3
  const std::size_t plans = f.plans();
  a.tie(b);  // is tied already
  f(three);
  CHECK(f.plans() == plans);
}

TEST_CASE("a frozen mark that only the function looks at is seen, and that of a parameter it computes with") {
  Parameter w("w", Array({2.0f}, Shape{1})), flag("flag", Array({0.0f}, Shape{1}));
  auto f = compile([&](Tape&, Tensor x) { return flag.frozen() ? x * w : x + w; }, three);
  CHECK(f(three).item() == 5);
  flag.freeze();
  CHECK(f(three).item() == 6);
  flag.freeze(false);
  CHECK(f(three).item() == 5);
  CHECK(f.plans() == 2);
}

TEST_CASE("a parameter's value that the function looked at is a number of its plan: another one traces again") {
  Parameter w("w", Array({2.0f}, Shape{1}));
  auto f = compile([&](Tape&, Tensor x) { return x * w.value().item(); }, three);
  CHECK(f(three).item() == 6);
  w.set(Array({5.0f}, Shape{1}));
  CHECK(f(three).item() == 15);
  CHECK(f.explain().find("the value of parameter 'w'") != std::string::npos);
  auto shaped = compile([&](Tape&, Tensor x) { return x * static_cast<double>(w.size()) * w; }, three);
  shaped(three);
  w.set(Array({7.0f}, Shape{1}));
  shaped(three);
  CHECK(shaped.plans() == 1);
}

TEST_CASE("a seed or step that the function looked at traces again; dropout does not need that") {
  auto looks = compile([](Tape& t, Tensor x) { return x * static_cast<double>(t.seed() + t.step()); }, three);
  looks.set_seed(10);
  CHECK(looks(three).item() == 30);
  looks.set_step(2);
  CHECK(looks(three).item() == 36);
  auto draws = compile([](Tape&, Tensor x) { return dropout(x, 0.5); }, full({100}, 1));
  const Array x = full({100}, 1), first = draws(x).array();
  draws.set_step(1);
  CHECK_FALSE(draws(x).array() == first);
  draws.set_step(0);
  CHECK(draws(x).array() == first);
  CHECK(draws.plans() == 1);
}

TEST_CASE("arrays that became constants are listed by explain, with their scope") {
  const Array table = random_array(Shape{3, 5}, 1);
  auto f = compile(
      [&](Tape& tape, Tensor x) {
        const Scope scope(tape, "lookup");
        return matmul(x, tape.constant(table));
      },
      Array(Shape{2, 3}));
  const std::string said = f.explain();
  CAPTURE(said);
  CHECK(said.find("f32 (3, 5), in lookup") != std::string::npos);
  CHECK(said.find("give it as an argument") != std::string::npos);
}

TEST_CASE("what would happen at the trace alone is refused by name, and nothing is changed") {
  Rng rng(1);
  Linear layer(1, 1, rng);
  Sgd sgd(layer.parameters(), {.rate = 1});
  WeightAverage average(layer.parameters(), {});
  const Array weight = layer.parameter("W").value();
  const auto refused = [&](auto act, const char* what) {
    const std::string said = complaint([&](Tape& tape, Tensor x) {
      const Tensor y = total(layer(reshape(x, {1, 1})));
      backward(y);
      act(tape);
      return y;
    });
    CAPTURE(said);
    CHECK(said.find(what) != std::string::npos);
    CHECK(said.find("while the function is traced") != std::string::npos);
  };
  refused([&](Tape&) { sgd.step(); }, "an optimizer's step()");
  refused([&](Tape&) { clip_grad_norm(layer.parameters(), 1); }, "its gradient looked at");
  refused([&](Tape&) { layer.zero_grad(); }, "parameter 'W' has its gradient set to 0");
  refused([&](Tape&) { layer.parameter("W").grad().fill(0); }, "its gradient looked at");
  refused([&](Tape&) { layer.parameter("W").edit(); }, "parameter 'W' is changed");
  refused([&](Tape&) { layer.freeze(); }, "is frozen");
  refused([&](Tape&) { layer.to(DType::f64); }, "is converted");
  refused([&](Tape&) { layer.eval(); }, "train() and eval()");
  refused([&](Tape&) { average.update(); }, "a weight average's update()");
  refused([&](Tape&) { average.swap(); }, "a weight average's swap()");
  refused([&](Tape& tape) { tape.set_step(3); }, "set_step()");
  refused([&](Tape& tape) { tape.set_seed(3); }, "set_seed()");
  refused([&](Tape& tape) { tape.clear(); }, "clear()");
  refused([&](Tape& tape) { tape.check_finite(); }, "check_finite()");
  refused([&](Tape& tape) { tape.substitute(layer.parameter("W"), Array(Shape{1, 1})); }, "substitute()");
  refused(
      [&](Tape&) {
        Tape other;
        backward(total(layer(other.constant(Array(Shape{1, 1})))));
      },
      "backward runs on a tape that is not the traced one");
  refused([&](Tape&) { compile([](Tape&, Tensor x) { return x; }, three)(three); }, "another compiled function");
  CHECK(layer.parameter("W").value() == weight);
  CHECK(layer.parameter("W").grad() == zeros(1, 1));
  CHECK(layer.training());
  CHECK_FALSE(layer.parameter("W").frozen());
  CHECK(sgd.steps() == 0);
  sgd.step();  // nothing is left of the traces
}

TEST_CASE("a tape that traced a backward is not rewound past it") {
  Parameter w("w", Array({2.0f}, Shape{1}));
  const std::string said = complaint([&](Tape& tape, Tensor x) {
    const TapeMark mark = tape.mark();
    backward(total(x * w));
    tape.rewind(mark);
    return x;
  });
  CHECK(said.find("the gradient of 'w' would be forgotten") != std::string::npos);
}

TEST_CASE("a compiled function that calls itself while it is traced is refused") {
  using F = std::function<Tensor(Tape&, Tensor)>;
  std::optional<Compiled<F, Array>> f;
  const F calls_itself = [&](Tape&, Tensor x) {
    if (f.has_value()) (*f)(three);
    return x;
  };
  f.emplace(calls_itself, CompileOptions{});
  CHECK_THROWS_WITH_AS((*f)(three), "compile: the function calls itself while it is traced", Error);
  CHECK(f->plans() == 0);
  CHECK_THROWS_AS((*f)(three), Error);  // and so it is the next time
}

}  // namespace
}  // namespace rw
