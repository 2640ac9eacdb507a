// A plan checks itself before it is believed.
#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/gemm/bf16.h>
#include <rewind/core/threads.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

// a b, of which it says that it is a + b: kernels that put two ops in one believe it.
struct Lie {
  static constexpr std::string_view name = "lie";
  struct Times {
    template <class T>
    T operator()(T a, T b) const {
      return a * b;
    }
  };
  Shape infer(std::span<const Shape> in) const { return broadcast(in[0], in[1]); }
  static const ElementwiseFact& elementwise_fact() {
    static const ElementwiseFact fact = [] {
      ElementwiseFact f;
      f.arity = 2;
      f.value = vector_loop<Times, 2>();
      f.arithmetic = Arithmetic::add;
      return f;
    }();
    return fact;
  }
};

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("a plan that is wrong is an Error that says which result, pass, kernel and scope, and changes nothing") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(std::string(name_of(dtype)));
    Parameter w("w", random_array(Shape{5, 40}, 1, 1, dtype));
    const Array x = random_array(Shape{5, 40}, 2, 1, dtype);
    const auto f = [&](Tape& tape, Tensor in) {
      backward(total(in * w));
      const Scope scope(tape, "liar");
      return std::pair(total(in), tanh(record(Lie{}, {in, w}) + in));
    };
    auto step = compile(f, x);
    std::string message;
    try {
      step(x);
    } catch (const Error& e) {
      message = e.what();
    }
    CAPTURE(message);
    CHECK(says(message, "compile: the plan is wrong, and no gradient was changed: result 1 (5, 40) is "));
    CHECK(says(message, "it is right without Pass::fuse"));
    CHECK(says(message, "the first wrong step is kernel of "));
    CHECK(says(message, "in liar"));
    CHECK(says(message, "go on with {.passes = Passes::all() - Pass::fuse}"));
    CHECK(says(message, "{.check = SelfCheck::off}"));
    CHECK(w.grad() == zeros(Shape{5, 40}, dtype));
    CHECK_THROWS_AS(step(x), Error);  // it is not believed the next time either

    Tape tape(dtype);
    const Tensor right = tanh(tape.constant(x) * w + tape.constant(x));
    auto without = compile(f, CompileOptions{.passes = Passes::all() - Pass::fuse}, x);
    CHECK(difference(without(x).second.array(), right.array()) < 1e-6);
    CHECK(difference(w.grad(), x) < 1e-6);
    auto unchecked = compile(f, CompileOptions{.check = SelfCheck::off}, x);
    CHECK(difference(unchecked(x).second.array(), right.array()) > 0.1);
    CHECK(says(unchecked.explain(), "check: not checked: CompileOptions::check is off"));
  }
}

struct Counted {
  int* runs;
  const LstmCell* cell;
  std::pair<Tensor, LstmCell::State> operator()(Tape&, Tensor x, LstmCell::State s) const {
    ++*runs;
    const auto states = unroll(*cell, x, s);
    const Tensor loss = mean(outputs(*cell, states));
    backward(loss);
    return {loss, states.back()};
  }
};

TEST_CASE("each program is checked once, at its first call, and not for each length or batch; always is always") {
  Rng rng(1);
  const LstmCell cell(3, 8, rng);
  int runs = 0;
  const auto x = [](Index T, Index N) { return random_array(Shape{T, N, 3}, static_cast<std::uint64_t>(T * N)); };
  Tape tape;
  const auto zero = [&](Index N) { return cell.zero_state(tape, N); };
  auto step = compile(Counted{&runs, &cell}, x(5, 4), zero(4));
  CHECK(runs == 1);
  CHECK(says(step.explain(), "check: not checked yet"));
  step(x(5, 4), zero(4));
  CHECK(runs == 2);
  CHECK(says(step.explain(), "check: checked: results and gradients are those of a tape"));
  step(x(5, 4), zero(4));
  CHECK(runs == 2);
  step(x(9, 6), zero(6));
  CHECK(runs == 3);  // traced
  CHECK(says(step.explain(), "check: not checked itself: the same program was, at other lengths"));
  step(x(9, 1), zero(1));  // rows of one are another program: they broadcast
  CHECK(runs == 5);
  auto always = compile(Counted{&runs, &cell}, CompileOptions{.check = SelfCheck::always}, x(5, 4), zero(4));
  runs = 0;
  auto state = zero(4);
  for (int i = 1; i <= 3; ++i) {
    state = always(x(5, 4), state).second;  // its own results are arguments
    CHECK(runs == i);
  }
  auto off = compile(Counted{&runs, &cell}, CompileOptions{.check = SelfCheck::off}, x(5, 4), zero(4));
  auto plain = zero(4);
  for (int i = 1; i <= 3; ++i) plain = off(x(5, 4), plain).second;
  CHECK(runs == 4);
  CHECK(state.h.array() == plain.h.array());
}

TEST_CASE("other ops for another argument are checked, too") {
  auto f = compile(
      [](Tape&, Tensor x) {
        return x.size(0) > 3 ? tanh(record(Lie{}, {x, x}) + x) : tanh(x + x);
      },
      Array(Shape{2}));
  f(full({2}, 0.5));
  CHECK(says(f.explain(), "check: checked"));
  CHECK_THROWS_WITH_AS(f(full({5}, 0.5)), doctest::Contains("the plan is wrong"), Error);
  f(full({3}, 0.5));
}

TEST_CASE("the first call leaves the results and gradients of any other: dropout, seeds, threads, gradients before") {
  for (const int n : {1, 3}) {
    set_threads(n);
    HandLstm lstm(6, 40);
    const Array x = random_array(Shape{4, 3, 6}, 1);
    const auto f = [&](Tape& tape, Tensor in) {
      const Tensor zero = tape.constant(0, Shape{3, 40});
      const Tensor loss = total(dropout(stack({lstm.unroll(in, {zero, zero}).back().h}), 0.5));
      backward(loss);
      return loss;
    };
    const auto run = [&](SelfCheck check, double before) {
      auto step = compile(f, CompileOptions{.seed = 7, .check = check}, x);
      step.set_step(3);
      for (Parameter* p : {&lstm.W, &lstm.R, &lstm.b}) p->grad().fill(before);
      std::vector<Array> out{step(x).array(), lstm.W.grad(), lstm.R.grad(), lstm.b.grad()};
      CHECK(says(step.explain(), "check: checked") == (check == SelfCheck::first));
      return out;
    };
    CHECK(run(SelfCheck::first, 0) == run(SelfCheck::off, 0));
    const auto checked = run(SelfCheck::first, 2), plain = run(SelfCheck::off, 2);
    for (std::size_t i = 0; i < plain.size(); ++i) CHECK(difference(checked[i], plain[i]) < 1e-6);
  }
  set_threads(1);
}

TEST_CASE("a function that is not the same twice, or not the same traced, is told so") {
  const Array x = full({4}, 1);
  double count = 0;
  auto counts = compile([&](Tape&, Tensor in) { return in * ++count; }, x);
  CHECK_THROWS_WITH_AS(counts(x), doctest::Contains("the function is not the same twice"), Error);
  auto looks = compile([](Tape& tape, Tensor in) { return in * (tape.tracing() ? 1.1 : 1.0); }, x);
  CHECK_THROWS_WITH_AS(looks(x), doctest::Contains("not the same on a tape and traced"), Error);
}

TEST_CASE("what rounding alone moves is not called wrong") {
  // The gradients of 50 steps with a matrix four times orthogonal.
  Rng rng(1);
  const Index H = 48;
  Array u = orthogonal(rng, H);
  for (float& e : u.span<float>()) e *= 4;
  Parameter U("U", u), W("W", random_array(Shape{8, H}, 1)), b("b", random_array(Shape{H}, 2, 0.1));
  const Array x = random_array(Shape{50, 4, 8}, 3);
  auto step = compile(
      [&](Tape& tape, Tensor in) {
        Tensor h = tape.constant(0, Shape{4, H});
        for (Index t = 0; t < 50; ++t) h = tanh(matmul(select(in, 0, t), W) + (matmul(h, U) + matmul(h * 0.5, U)) + b);
        const Tensor loss = mean(h);
        backward(loss);
        return loss;
      },
      x);
  step(x);
  const std::string said = step.explain();
  CAPTURE(said);
  CHECK((says(said, "check: ill-conditioned, not decided") || says(said, "check: checked")));
  // Sums that cancel to nothing but rounding.
  const Array wide = random_array(Shape{60, 60}, 4);
  auto cancels = compile(
      [&](Tape&, Tensor in) { return total(matmul(in, in)) - total(sum(in, {0}) * sum(transpose(in), {0})); }, wide);
  cancels(wide);
  CHECK_FALSE(says(cancels.explain(), "not checked"));
}

TEST_CASE("an f64 function of f32 parameters, whose gradients are f32") {
  HandLstm lstm(4, 20);
  const Array x = random_array(Shape{5, 3, 4}, 1);
  auto f = compile(
      [&](Tape& tape, Tensor in) {
        const Tensor zero = tape.constant(0, Shape{3, 20});
        const Tensor loss = sum_of_h(lstm.unroll(in, {zero, zero}));
        backward(loss);
        return loss;
      },
      CompileOptions{.dtype = DType::f64}, x);
  f(x);
  CHECK(says(f.explain(), "check: checked"));
  CHECK(lstm.W.grad().dtype() == DType::f32);
}

TEST_CASE("indices are results, too") {
  const Array at(std::vector<std::int32_t>{3, 0, 1});
  auto f = compile([](Tape&, Tensor i) { return std::pair(i, one_hot(i, 5)); }, at);
  CHECK(f(at).first.array() == at);
  CHECK(says(f.explain(), "check: checked"));
}

TEST_CASE("nan and infinity are the same on both sides") {
  auto f = compile([](Tape&, Tensor x) { return std::pair(log(x), sqrt(x) / x); }, Array(Shape{3}));
  f(Array({-1.0f, 0.0f, 2.0f}, Shape{3}));
  CHECK(says(f.explain(), "check: checked"));
}

TEST_CASE("a tape that does not fit is not made, and that is said") {
  const Array x = random_array(Shape{8, 8}, 1);
  auto f = compile([](Tape&, Tensor in) { return tanh(in); }, CompileOptions{.check_bytes = 100}, x);
  const Array y = f(x).array();
  CHECK(says(f.explain(), "check: not checked: its tape would take"));
  Tape tape;
  CHECK(y == tanh(tape.constant(x)).array());
}

TEST_CASE("in bf16 the tape rounds operands, too") {
  Parameter w("w", random_array(Shape{64, 64}, 1));
  const Array x = random_array(Shape{8, 64}, 2);
  auto f = compile(
      [&](Tape&, Tensor in) {
        const Tensor y = total(tanh(matmul(in, w)));
        backward(y);
        return y;
      },
      CompileOptions{.matmul = Precision::bf16, .force_bf16 = true}, x);
  f(x);
  CHECK(says(f.explain(), "check: checked"));
}

TEST_CASE("a value that only a run can refuse leaves everything as it was") {
  Parameter table("table", random_array(Shape{4, 3}, 1));
  const auto indices = [](std::int32_t last) { return Array(std::vector<std::int32_t>{0, last}); };
  auto f = compile(
      [&](Tape&, Tensor at) {
        const Tensor y = total(lookup(table, at));
        backward(y);
        return y;
      },
      indices(1));
  CHECK_THROWS_WITH_AS(f(indices(9)), doctest::Contains("9"), Error);
  CHECK(table.grad() == zeros(4, 3));
  f(indices(3));
  CHECK(says(f.explain(), "check: checked"));
}

TEST_CASE("values that a backward releases are there for a check") {
  Parameter w("w", random_array(Shape{4, 4}, 1));
  const Array x = random_array(Shape{4, 4}, 2);
  auto f = compile(
      [&](Tape&, Tensor in) {
        const Tensor h = tanh(matmul(in, w));
        const Tensor loss = total(h * h);
        backward(loss, {.release_values = true});
        return std::pair(loss, h);
      },
      x);
  Tape tape;
  CHECK(difference(f(x).second.array(), tanh(matmul(tape.constant(x), w)).array()) < 1e-6);
  CHECK(says(f.explain(), "check: checked"));
}

}  // namespace
}  // namespace rw
