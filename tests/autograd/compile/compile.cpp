#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>

#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

struct Run {
  double loss = 0;
  Array h, W, R, b;
};

Run take(HandLstm& lstm, Tensor loss, Tensor h) {
  Run run{loss.item(), h.array(), lstm.W.grad(), lstm.R.grad(), lstm.b.grad()};
  lstm.W.zero_grad();
  lstm.R.zero_grad();
  lstm.b.zero_grad();
  return run;
}

void check_close(const Array& a, const Array& b, double tolerance) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.to(DType::f64), y = b.to(DType::f64);
  double worst = 0, size = 1e-3;
  for (Index i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(x.span<double>()[i] - y.span<double>()[i]));
    size = std::max(size, std::abs(y.span<double>()[i]));
  }
  CHECK(worst <= tolerance * size);
}

const auto lstm_loss = [](HandLstm& lstm) {
  return [&lstm](Tape&, Tensor x, LstmState s) {
    const auto states = lstm.unroll(x, s);
    const Tensor loss = sum_of_h(states);
    backward(loss);
    return std::pair(loss, states.back());
  };
};

Run eager(HandLstm& lstm, const Array& x, const Array& h, const Array& c) {
  Tape tape(lstm.W.dtype());
  const auto states = lstm.unroll(tape.constant(x), {tape.constant(h), tape.constant(c)});
  const Tensor loss = sum_of_h(states);
  backward(loss);
  return take(lstm, loss, states.back().h);
}

void compare(DType dtype, CompileOptions options, double tolerance) {
  const Index T = 5, N = 3, I = 4, H = 6;
  HandLstm lstm(I, H, 1, dtype);
  const Array x = random_array(Shape{T, N, I}, 7, 1, dtype), h = random_array(Shape{N, H}, 8, 1, dtype),
              c = random_array(Shape{N, H}, 9, 1, dtype);
  Tape tape(dtype);
  const LstmState s0{tape.constant(h), tape.constant(c)};
  options.verify = true;
  auto step = compile(lstm_loss(lstm), options, x, s0);
  for (std::uint64_t seed = 20; seed < 23; ++seed) {
    const Array again = random_array(Shape{T, N, I}, seed, 1, dtype);
    const auto [loss, last] = step(again, s0);
    const Run ours = take(lstm, loss, last.h), theirs = eager(lstm, again, h, c);
    CHECK(ours.loss == doctest::Approx(theirs.loss).epsilon(tolerance));
    check_close(ours.h, theirs.h, tolerance);
    check_close(ours.W, theirs.W, tolerance);
    check_close(ours.R, theirs.R, tolerance);
    check_close(ours.b, theirs.b, tolerance);
  }
}

TEST_CASE("a compiled LSTM does what the eager one does, each pass alone and all together") {
  for (DType dtype : {DType::f32, DType::f64}) {
    const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-13;
    for (Passes passes : {Passes::none(), Passes::exact(), Passes::all()})
      compare(dtype, {.passes = passes}, tolerance);
    for (const PassSwitch& s : pass_switches) {
      CAPTURE(s.name);
      compare(dtype, {.passes = s.pass}, tolerance);
      compare(dtype, {.passes = Passes::all() - s.pass}, tolerance);
    }
  }
}

TEST_CASE("an LSTM of T steps with its backward runs at most 2T + 4 products, and one kernel a step each way") {
  for (Index T : {3, 10}) {
    HandLstm lstm(4, 6);
    Parameter x("x", random_array(Shape{T, 3, 4}, 7));
    const Array h = random_array(Shape{3, 6}, 8);
    auto step = compile(
        [&](Tape& t, Tensor h0, Tensor c0) {
          const Tensor loss = sum_of_h(lstm.unroll(t.leaf(x), {h0, c0}));
          backward(loss);
          return loss;
        },
        h, h);
    const Tape graph = step.graph();
    int products = 0;
    for (NodeId i = 0; i < graph.size(); ++i) products += graph.node(i).info->product != nullptr;
    CHECK(products <= 2 * T + 4);
  }
}

TEST_CASE("state is carried from call to call, and results go stale") {
  HandLstm lstm(3, 4);
  const Array x = random_array(Shape{2, 2, 3}, 5);
  Tape tape;
  LstmState state{tape.constant(0, Shape{2, 4}), tape.constant(0, Shape{2, 4})};
  auto step = compile([&](Tape&, Tensor in, LstmState s) { return lstm.unroll(in, s).back(); }, x, state);
  LstmState eager = state;
  LstmState first{};
  for (int i = 0; i < 4; ++i) {
    state = step(x, state);
    eager = lstm.unroll(tape.constant(x), eager).back();
    check_close(state.h.array(), eager.h.array(), 1e-5);
    if (i == 0) first = state;
  }
  CHECK_THROWS_WITH_AS(first.h.value(), doctest::Contains("stale"), Error);
}

TEST_CASE("new shapes make new plans, and the plans are kept") {
  HandLstm lstm(3, 4);
  auto step = compile(
      [&](Tape& t, Tensor x) {
        const Index n = x.size(1);
        return lstm.unroll(x, {t.constant(0, Shape{n, 4}), t.constant(0, Shape{n, 4})}).back().h;
      },
      random_array(Shape{2, 2, 3}, 5));
  CHECK(step.plans() == 1);
  for (Index T = 1; T <= 3; ++T) {
    const Array x = random_array(Shape{T, 2, 3}, 6);
    Tape tape;
    const Tensor zero = tape.constant(0, Shape{2, 4});
    check_close(step(x).array(), lstm.unroll(tape.constant(x), {zero, zero}).back().h.array(), 1e-5);
  }
  CHECK(step.plans() == 3);
  step(random_array(Shape{2, 2, 3}, 5));
  CHECK(step.plans() == 3);
}

TEST_CASE("looking at a value while tracing throws and leaves everything as it was") {
  HandLstm lstm(3, 4);
  const Array x = random_array(Shape{2, 3}, 5);
  const auto look = [&](Tape&, Tensor in) {
    const Tensor loss = total(matmul(in, lstm.W));
    backward(loss);
    return loss.item() > 0 ? loss : -loss;
  };
  CHECK_THROWS_WITH_AS(compile(look, x), doctest::Contains("while compile traces"), Error);
  CHECK(lstm.W.grad() == zeros(3, 16));
}

TEST_CASE("parameters may change between replays, and numbers are part of the key") {
  Parameter w("w", Array({2.0f}, Shape{1}));
  auto f = compile([&](Tape&, Tensor x, double scale) { return x * w * scale; }, Array({3.0f}, Shape{1}), 2.0);
  CHECK(f(Array({3.0f}, Shape{1}), 2.0).item() == 12);
  w.set(Array({5.0f}, Shape{1}));
  CHECK(f(Array({3.0f}, Shape{1}), 2.0).item() == 30);
  CHECK(f(Array({3.0f}, Shape{1}), 4.0).item() == 60);
  CHECK(f.plans() == 2);
}

TEST_CASE("a matrix packed for all replays is packed anew when its parameter changes or moves") {
  const Array x = random_array(Shape{32, 64}, 1, 1, DType::f32);
  Parameter w("w", random_array(Shape{64, 256}, 2, 1, DType::f32));
  auto f = compile([&](Tape&, Tensor x) { return matmul(x, w); }, x);
  const auto check = [&] {
    Tape tape;
    check_close(f(x).array(), matmul(tape.constant(x), w).array(), 1e-6);
  };
  check();
  check();
  w.set(random_array(Shape{64, 256}, 3, 1, DType::f32));
  check();
  w.edit().as<float>()[5] = 100;
  check();
  w.convert(DType::f64);
  w.convert(DType::f32);
  check();
}

TEST_CASE("a plan keeps its parameters alive; freezing one makes a new plan") {
  auto w = std::make_unique<Parameter>("w", Array({2.0f}, Shape{1}));
  const auto data = w->data();
  Parameter* live = w.get();
  auto f = compile(
      [&](Tape&, Tensor x) {
        const Tensor y = total(x * *live * 3);
        if (y.needs_grad() && !live->frozen()) backward(y);
        return y;
      },
      Array({3.0f}, Shape{1}));
  f(Array({3.0f}, Shape{1}));
  CHECK(w->grad().item() == 9);
  w->freeze();
  f(Array({3.0f}, Shape{1}));
  CHECK(w->grad().item() == 9);
  CHECK(f.plans() == 2);
  w->freeze(false);
  w.reset();
  CHECK(f(Array({3.0f}, Shape{1})).item() == 18);
  CHECK(data->grad.item() == 18);
}

TEST_CASE("a parameter converted to another type makes a new plan") {
  Parameter w("w", Array({2.0f, 1.0f}, Shape{2, 1}));
  const Array x({3.0f, 4.0f}, Shape{1, 2});
  auto f = compile(
      [&](Tape&, Tensor in) {
        const Tensor y = total(matmul(in, w));
        backward(y);
        return y;
      },
      x);
  CHECK(f(x).item() == 10);
  w.convert(DType::f64);
  CHECK_THROWS_WITH_AS(f.profile(), doctest::Contains("has changed since the last call"), Error);
  CHECK(f(x).item() == 10);
  CHECK(w.grad() == Array({6.0, 8.0}, Shape{2, 1}));
  CHECK(f.plans() == 2);
}

TEST_CASE("16 plans are kept: those used last, and the one whose results may be looked at") {
  auto f = compile([](Tape&, Tensor x) { return total(x); }, Array(Shape{1}));
  const auto ones = [](Index n) {  // of extents that are no line, so that no plan follows from others
    Array x(Shape{n, n * n});
    x.fill(1);
    return x;
  };
  for (Index n = 1; n <= 20; ++n) CHECK(f(ones(n)).item() == n * n * n);
  CHECK(f.plans() == 16);
  f(ones(20));
  CHECK(f.plans() == 16);
  const Tensor last = f(ones(1));  // forgotten: traced again
  for (Index n = 21; n <= 50; ++n) f.prepare(ones(n));
  CHECK(last.item() == 1);
  f(ones(50));
  CHECK_THROWS_WITH_AS(last.item(), doctest::Contains("stale"), Error);
}

TEST_CASE("results that are an argument, a parameter or a constant are copies") {
  Parameter w("w", Array({2.0f, 3.0f}, Shape{2}));
  Array x({5.0f, 6.0f}, Shape{2});
  auto f = compile(
      [&](Tape& t, Tensor in) {
        return std::array{in, t.leaf(w), t.constant(Array({1.0f}, Shape{1}))};
      },
      x);
  const auto out = f(x);
  x.fill(0);
  w.edit().as<float>()[0] = 9;
  CHECK(out[0].array() == Array({5.0f, 6.0f}, Shape{2}));
  CHECK(out[1].array() == Array({2.0f, 3.0f}, Shape{2}));
  CHECK(out[2].item() == 1);
}

TEST_CASE("gradients of arguments, and second derivatives") {
  const Array x({0.5f, -1.0f}, Shape{2});
  auto f = compile(
      [&](Tape&, Tensor in) {
        const Tensor g = grad(total(tanh(in) * in), in);
        return std::pair(g, grad(total(g * g), in));
      },
      x);
  const auto [g, gg] = f(x);
  Tape tape;
  const Tensor v = tape.variable(x);
  const Tensor eg = grad(total(tanh(v) * v), v);
  check_close(g.array(), eg.array(), 1e-6);
  check_close(gg.array(), grad(total(eg * eg), v).array(), 1e-6);
}

TEST_CASE("buckets and padding") {
  CHECK(bucket(0) == 0);
  CHECK(bucket(7) == 7);
  CHECK(bucket(2147483647) == Index{1} << 31);
  CHECK_THROWS_AS(bucket(INT64_MAX), Error);
  for (Index n = 9; n < 3000; ++n) {
    CHECK(bucket(n) >= n);
    CHECK(bucket(n) * 4 <= n * 5 + 4);
    CHECK(bucket(bucket(n)) == bucket(n));
  }
  const Array p = padded(Array({1.0f, 2.0f, 3.0f, 4.0f}, Shape{2, 2}), 0, 3, -1);
  CHECK(p == Array({1.0f, 2.0f, 3.0f, 4.0f, -1.0f, -1.0f}, Shape{3, 2}));
  CHECK_THROWS_AS(padded(p, 0, 2), Error);
}

}  // namespace
}  // namespace rw
