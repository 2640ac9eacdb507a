// The gradients of a plan, by the differences of its function.
#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/gradcheck.h>

using namespace rw;

namespace {

// a b, of which it says that it is a - b to kernels that put two ops in one; its gradient is right.
struct Lie {
  static constexpr std::string_view name = "lie";
  struct Times {
    template <class T>
    T operator()(T a, T b) const {
      return a * b;
    }
  };
  // The gradient of one input: x0, x1, y, dy, and what it is added to.
  template <int Input>
  struct Gradient {
    template <class T>
    T operator()(T a, T b, T /*y*/, T dy) const {
      return dy * (Input == 0 ? b : a);
    }
    template <class T>
    T operator()(T a, T b, T /*y*/, T dy, T dx) const {
      return dx + dy * (Input == 0 ? b : a);
    }
  };
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void vjp(Vjp& g) const {
    g.add(0, g.dy() * g.x(1));
    g.add(1, g.dy() * g.x(0));
  }
  static const ElementwiseFact& elementwise_fact() {
    static const ElementwiseFact fact = [] {
      ElementwiseFact f;
      f.arity = 2;
      f.value = vector_loop<Times, 2>();
      f.gradient[0] = vector_loop<Gradient<0>, 4>();
      f.gradient[1] = vector_loop<Gradient<1>, 4>();
      f.accumulate[0] = vector_loop<Gradient<0>, 5>();
      f.accumulate[1] = vector_loop<Gradient<1>, 5>();
      f.arithmetic = Arithmetic::sub;
      return f;
    }();
    return fact;
  }
};

}  // namespace

TEST_CASE("the gradient of a compiled step is checked, states and all, and parameters' gradients are left alone") {
  Rng rng(1);
  const LstmCell cell(3, 4, rng);
  const Array x = uniform(rng, {3, 2, 3}, -1, 1);
  const auto f = [&](Tape&, Tensor in, LstmCell::State s) {
    const auto states = unroll(cell, in, s);
    const Tensor loss = mean(outputs(cell, states) * outputs(cell, states));
    backward(loss);
    return std::pair(loss, states.back());
  };
  Tape tape(DType::f64);
  const auto zero = cell.zero_state(tape, 2);
  auto single = compile(f, CompileOptions{.dtype = DType::f32}, x, zero);
  CHECK_THROWS_WITH_AS(gradcheck(single, cell.parameters(), {}, x, zero), doctest::Contains("convert the model"),
                       Error);
  cell.to(DType::f64);
  CHECK_THROWS_WITH_AS(gradcheck(single, cell.parameters(), {}, x, zero), doctest::Contains("{.dtype = DType::f64}"),
                       Error);
  auto step = compile(f, CompileOptions{.dtype = DType::f64}, x, zero);
  cell.parameter("W").grad().fill(7);
  const GradReport report = gradcheck(step, cell.parameters(), {}, x, zero);
  CAPTURE(report);
  CHECK(report.ok());
  CHECK(cell.parameter("W").grad() == full(cell.parameter("W").shape(), 7, DType::f64));
  CHECK(cell.parameter("R").grad() == zeros(cell.parameter("R").shape(), DType::f64));
  CHECK_THROWS_WITH_AS(gradcheck(step, cell.parameters(), {.order = 2}, x, zero), doctest::Contains("the order is 1"),
                       Error);
}

TEST_CASE("a plan whose gradient is wrong is wrong, and the tape is not blamed") {
  Parameter w("w", Array({0.3, -0.7, 1.1, 0.4}, {4})), v("v", Array({0.5, 0.2, -0.8, 0.9}, {4}));
  auto step = compile(
      [&](Tape& tape) {
        const Tensor loss = sum(tanh(record(Lie{}, {tape.leaf(w), tape.leaf(v)}) + w));
        backward(loss);
        return loss;
      },
      CompileOptions{.dtype = DType::f64, .check = SelfCheck::off});
  const GradReport report = gradcheck(step, {w, v}, {});
  CAPTURE(report);
  CHECK(report.verdict == Verdict::wrong);
  REQUIRE(report.faults.size() == 1);
  CHECK(report.faults[0].kind == GradFault::Kind::plan);
  CHECK(report.faults[0].text.find("the compiled plan gives another gradient") != std::string::npos);
}
