// Values beside the equations in plain numbers, and what each cell is made for.
#include <algorithm>
#include <cmath>
#include <complex>
#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/cells/adaptive.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/clockwork.h>
#include <rewind/models/cells/fast_weights.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/gru_ode.h>
#include <rewind/models/cells/linear_cells.h>
#include <rewind/models/cells/lstm_variants.h>
#include <rewind/models/cells/mgu.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/cells/xlstm.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "checks.h"

using namespace rw;

namespace {

constexpr Index I = 3, H = 4, T = 5;
using Row = std::vector<double>;

double logistic(double a) { return 1 / (1 + std::exp(-a)); }
std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Column c of x times a matrix.
double times(const Module& m, const Row& x, const char* matrix, Index c) {
  const Array& a = m.parameter(matrix).value();
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * a.at({static_cast<Index>(i), c});
  return sum;
}
double bias(const Module& m, const char* name, Index c) { return m.parameter(name).value().at({c}); }

// A cell of f64 with random weights, and inputs.
template <class C, class... Options>
C random_cell(const Options&... options) {
  Rng rng(5);
  C cell(I, H, rng, options...);
  rw::test::randomise(cell);
  return cell;
}
Array inputs(Index steps = T, Index batch = 1) {
  Rng rng(7);
  return uniform(rng, {steps, batch, I}, -1, 1).to(DType::f64);
}
Row row(const Array& x, Index t) {
  Row r;
  for (Index i = 0; i < I; ++i) r.push_back(x.at({t, 0, i}));
  return r;
}

// The outputs of a cell beside those of f(x(t)), step by step.
template <class C>
void check_values(const C& cell, const std::function<Row(const Row&)>& f) {
  Tape tape(DType::f64);
  const Array x = inputs();
  const Array y = outputs(cell, unroll(cell, tape.constant(x), cell.zero_state(tape, 1))).array();
  for (Index t = 0; t < T; ++t) {
    const Row expected = f(row(x, t));
    for (Index k = 0; k < H; ++k) CHECK(y.at({t, 0, k}) == doctest::Approx(expected[at(k)]).epsilon(1e-10));
  }
}

Row each(const std::function<double(Index)>& f) {
  Row r;
  for (Index k = 0; k < H; ++k) r.push_back(f(k));
  return r;
}

double most_apart(const Array& a, const Array& b) {
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  REQUIRE(x.size() == y.size());
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

}  // namespace

TEST_CASE("sLSTM and mLSTM: gates that are exponentials, without their stabiliser") {
  const auto s = random_cell<SlstmCell>();
  Row h(H), c(H), n(H);
  check_values(s, [&](const Row& x) {
    const Row before = h;
    const auto pre = [&](Index g, Index k) {
      return times(s, x, "W", g * H + k) + times(s, before, "R", g * H + k) + bias(s, "b", g * H + k);
    };
    for (Index k = 0; k < H; ++k) {
      const double i = std::exp(pre(0, k)), f = logistic(pre(1, k));
      c[at(k)] = f * c[at(k)] + i * std::tanh(pre(2, k));
      n[at(k)] = f * n[at(k)] + i;
      h[at(k)] = logistic(pre(3, k)) * c[at(k)] / n[at(k)];
    }
    return h;
  });
  const auto m = random_cell<MlstmCell>();
  Row C(H * H), k_sum(H);
  check_values(m, [&](const Row& x) {
    const auto pre = [&](Index g, Index k) { return times(m, x, "W", g * H + k) + bias(m, "b", g * H + k); };
    const double i = std::exp(times(m, x, "w", 0) + bias(m, "bw", 0)),
                 f = logistic(times(m, x, "w", 1) + bias(m, "bw", 1));
    double nq = 0;
    for (Index k = 0; k < H; ++k) {
      for (Index l = 0; l < H; ++l) C[at(k * H + l)] = f * C[at(k * H + l)] + i * pre(2, k) * pre(1, l) / 2;
      k_sum[at(k)] = f * k_sum[at(k)] + i * pre(1, k) / 2;
      nq += k_sum[at(k)] * pre(0, k);
    }
    return each([&](Index k) {
      double read = 0;
      for (Index l = 0; l < H; ++l) read += C[at(k * H + l)] * pre(0, l);
      return logistic(pre(3, k)) * read / std::max(std::abs(nq), 1.0);
    });
  });
}

TEST_CASE("the stabiliser keeps exponential gates finite, and their gradients") {
  Rng rng(1);
  for (const char* name : {"slstm", "mlstm"})
    for (const double size : {500.0, -500.0}) {
      const AnyCell cell = make_cell(name, I, H, rng);
      Tape tape;
      const Tensor x = tape.variable(full({20, 2, I}, size));
      const auto states = unroll(cell, x, cell.zero_state(tape, 2));
      backward(sum(outputs(cell, states)));
      CHECK_NOTHROW(tape.check_finite());
      for (const double d : Array(tape.grad(x)).to_vector<double>()) CHECK(std::isfinite(d));
      for (const NamedParameter& p : cell.parameters())
        for (const double d : p.parameter->grad().to_vector<double>()) CHECK(std::isfinite(d));
    }
}

TEST_CASE("minGRU, minLSTM, QRNN, SRU, IndRNN") {
  Row h(H), c(H), before(I);
  const auto reset = [&] { h.assign(H, 0), c.assign(H, 0); };
  const auto affine = [](const Module& m, const Row& x, Index g, Index k) {
    return times(m, x, "W", g * H + k) + bias(m, "b", g * H + k);
  };
  const auto gru = random_cell<MinGruCell>();
  check_values(gru, [&](const Row& x) {
    return h = each([&](Index k) {
             const double z = logistic(affine(gru, x, 0, k));
             return (1 - z) * h[at(k)] + z * affine(gru, x, 1, k);
           });
  });
  reset();
  const auto lstm = random_cell<MinLstmCell>();
  check_values(lstm, [&](const Row& x) {
    return h = each([&](Index k) {
             const double f = logistic(affine(lstm, x, 0, k)), i = logistic(affine(lstm, x, 1, k));
             return f / (f + i) * h[at(k)] + i / (f + i) * affine(lstm, x, 2, k);
           });
  });
  const auto qrnn = random_cell<QrnnCell>();
  check_values(qrnn, [&](const Row& x) {
    const auto pre = [&](Index g, Index k) {
      return affine(qrnn, x, g, k) + times(qrnn, before, "W", (3 + g) * H + k);
    };
    const Row y = each([&](Index k) {
      const double f = logistic(pre(1, k));
      c[at(k)] = f * c[at(k)] + (1 - f) * std::tanh(pre(0, k));
      return logistic(pre(2, k)) * c[at(k)];
    });
    before = x;
    return y;
  });
  reset();
  const auto sru = random_cell<SruCell>();
  check_values(sru, [&](const Row& x) {
    return each([&](Index k) {
      const double old = c[at(k)], f = logistic(affine(sru, x, 0, k) + bias(sru, "vf", k) * old);
      const double r = logistic(affine(sru, x, 1, k) + bias(sru, "vr", k) * old);
      c[at(k)] = f * old + (1 - f) * affine(sru, x, 2, k);
      return r * c[at(k)] + (1 - r) * affine(sru, x, 3, k);
    });
  });
  reset();
  const auto ind = random_cell<IndRnnCell>();
  check_values(ind, [&](const Row& x) {
    return h = each([&](Index k) { return std::max(0.0, affine(ind, x, 0, k) + bias(ind, "u", k) * h[at(k)]); });
  });
}

TEST_CASE("LRU: a complex recurrence in real numbers, whose eigenvalues begin where they should") {
  const auto lru = random_cell<LruCell>();
  std::vector<std::complex<double>> s(H);
  check_values(lru, [&](const Row& x) {
    const auto affine = [&](Index g, Index k) { return times(lru, x, "W", g * H + k) + bias(lru, "b", g * H + k); };
    for (Index k = 0; k < H; ++k) {
      const std::complex<double> lambda =
          std::exp(std::complex<double>(-std::exp(bias(lru, "nu", k)), std::exp(bias(lru, "theta", k))));
      const double gamma = std::sqrt(1 - std::norm(lambda));
      s[at(k)] = lambda * s[at(k)] + gamma * std::complex<double>(affine(0, k), affine(1, k));
    }
    Row re, im;
    for (const auto& v : s) re.push_back(v.real()), im.push_back(v.imag());
    return each([&](Index k) { return times(lru, re, "C1", k) - times(lru, im, "C2", k) + affine(2, k); });
  });
  Rng rng(3);
  const LruCell fresh(I, 50, rng);
  for (Index k = 0; k < 50; ++k) {
    const double radius = std::exp(-std::exp(bias(fresh, "nu", k)));
    CHECK(radius >= 0.499);
    CHECK(radius <= 0.991);
  }
}

TEST_CASE("multiplicative and mogrifier LSTM: an LSTM with something else in the place of h and x") {
  const auto m = random_cell<MultiplicativeLstmCell>();
  Tape tape(DType::f64);
  const Tensor x = select(tape.constant(inputs()), 0, 0);
  const auto start = LstmCell::State{tape.constant(full({1, H}, 0.3)), tape.constant(full({1, H}, -0.2))};
  const auto lstm = [&](const Module& cell, Tensor in, Tensor seen) {
    auto [i, f, g, o] = split<4>(matmul(in, cell.parameter("lstm.W")) + matmul(seen, cell.parameter("lstm.R")) +
                                 cell.parameter("lstm.b"));
    const Tensor c = sigmoid(f) * start.c + sigmoid(i) * tanh(g);
    return sigmoid(o) * tanh(c);
  };
  const Tensor k = (matmul(x, m.parameter("Wm")) + m.parameter("bm")) * matmul(start.h, m.parameter("Rm"));
  CHECK(most_apart(m.step(x, start).h.array(), lstm(m, x, k).array()) < 1e-14);
  Rng rng(2);
  MogrifierLstmCell mogrifier(I, H, rng, {}, 3);
  rw::test::randomise(mogrifier);
  Tensor in = 2 * sigmoid(matmul(start.h, mogrifier.parameter("mogrify0"))) * x;
  const Tensor seen = 2 * sigmoid(matmul(in, mogrifier.parameter("mogrify1"))) * start.h;
  in = 2 * sigmoid(matmul(seen, mogrifier.parameter("mogrify2"))) * in;
  CHECK(most_apart(mogrifier.step(x, start).h.array(), lstm(mogrifier, in, seen).array()) < 1e-14);
  CHECK_THROWS_WITH_AS(MogrifierLstmCell(I, H, rng, {}, -1), "mogrifier: -1 rounds: it must be 0 or more", Error);
}

// The cell with heads, and one of which R is the same matrix written out.
template <class C, class... Own>
void check_heads(const char* matrix, Index gates, CellOptions shared = {}, const Own&... own) {
  Rng rng(5);
  const C full(I, H, rng, own..., shared);
  shared.heads = 2;
  const C heads(I, H, rng, own..., shared);
  rw::test::randomise(heads);
  const Array blocks = heads.parameter(matrix).value();
  REQUIRE(blocks.shape() == Shape{H / 2, gates * H});
  full.to(DType::f64);
  for (const NamedParameter& p : full.parameters()) {
    const Array& value = heads.parameter(p.name).value();
    if (value.shape() == p.parameter->shape()) {
      p.parameter->set(value);
      continue;
    }
    Array R({H, p.parameter->shape()[1]}, DType::f64);
    for (Index i = 0; i < H; ++i)
      for (Index j = 0; j < R.shape()[1]; ++j)
        if (i / (H / 2) == j % H / (H / 2)) R.set({i, j}, value.at({i % (H / 2), j}));
    p.parameter->set(R);
  }
  Tape tape(DType::f64);
  const Tensor x = tape.constant(inputs(T, 3));
  const auto run = [&](const C& cell) { return outputs(cell, unroll(cell, x, cell.zero_state(tape, 3))).array(); };
  CHECK(most_apart(run(heads), run(full)) < 1e-14);
}

TEST_CASE("heads: the recurrent matrix is block-diagonal") {
  check_heads<LstmCell>("R", 4);
  check_heads<LstmCell>("R", 4, {}, LstmOptions{.layer_norm = true});
  check_heads<GruCell>("R", 3);
  check_heads<GruCell>("R", 3, {}, GruOptions{.reset = GruOptions::Reset::before});
  check_heads<MguCell>("R", 2);
  check_heads<RnnCell>("R", 1, {.bias = Bias::two});
  check_heads<SlstmCell>("R", 4);
  check_heads<GruOdeCell>("R", 3);
  check_heads<FastWeightsCell>("R", 1);
  check_heads<MultiplicativeLstmCell>("Rm", 1);
  Rng rng(1);
  const Array start = LstmCell(I, 6, rng, {.heads = 3}).parameter("R").value();  // each block orthogonal by itself
  for (Index block = 0; block < 12; ++block) {
    double dot = 0;
    for (Index j = 2 * block; j < 2 * block + 2; ++j) dot += start.at({0, j}) * start.at({1, j});
    CHECK(std::abs(dot) < 1e-6);
  }
  CHECK_THROWS_WITH_AS(MinGruCell(I, H, rng, {.heads = 2}), "min-gru: there is no recurrent matrix to cut into 2 heads",
                       Error);
  CHECK_THROWS_WITH_AS(ClockworkCell(I, H, rng, {1, 2}, {.heads = 2}),
                       "clockwork: its groups are its blocks; give periods in place of 2 heads", Error);
}

TEST_CASE("clockwork: groups move when their time has come, and see the slower ones") {
  Rng rng(4);
  ClockworkCell cell(I, H, rng, {1, 3});
  rw::test::randomise(cell);
  Tape tape(DType::f64);
  const auto states = unroll(cell, tape.constant(inputs()), cell.zero_state(tape, 1));
  const auto half = [&](std::size_t t, Index g) { return slice(states[t].h, 1, 2 * g, 2).array(); };
  CHECK(half(1, 1) == half(0, 1));
  CHECK(half(2, 1) == half(0, 1));
  CHECK_FALSE(half(3, 1) == half(2, 1));
  CHECK_FALSE(half(1, 0) == half(0, 0));
  Row h(H);
  Index t = 0;
  check_values(cell, [&](const Row& x) {
    const Row old = h;
    for (Index k = 0; k < H; ++k) {
      if (k >= 2 && t % 3 != 0) continue;
      double a = times(cell, x, "W", k) + bias(cell, "b", k);
      for (Index j = k < 2 ? 0 : 2; j < H; ++j) a += old[at(j)] * cell.parameter("R").value().at({j, k});
      h[at(k)] = std::tanh(a);
    }
    ++t;
    return h;
  });
  CHECK_THROWS_WITH_AS(ClockworkCell(I, 5, rng, {1, 2}), "clockwork: 2 groups do not divide a hidden size of 5", Error);
  CHECK_THROWS_WITH_AS(ClockworkCell(I, 4, rng, {2, 2}),
                       "clockwork: periods [2, 2]: they must be 1 or more, and rising", Error);
}

TEST_CASE("GRU-ODE: one step of Euler's is a GRU's, and Runge and Kutta's are of fourth order") {
  const auto euler = random_cell<GruOdeCell>(GruOdeOptions{.solver = GruOdeOptions::Solver::euler, .steps = 1});
  Rng rng(5);
  GruCell gru(I, H, rng, {.reset = GruOptions::Reset::before});
  gru.to(DType::f64);
  copy_parameters(euler, gru);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(inputs());
  const auto run = [&](const auto& cell) { return outputs(cell, unroll(cell, x, cell.zero_state(tape, 1))).array(); };
  CHECK(most_apart(run(euler), run(gru)) < 1e-15);
  const auto solved = [&](int steps) {
    GruOdeCell cell(I, H, rng, {.steps = steps});
    cell.to(DType::f64);
    copy_parameters(euler, cell);
    return run(cell);
  };
  const Array exact = solved(64);
  const double four = most_apart(solved(4), exact), eight = most_apart(solved(8), exact);
  CHECK(four / eight > 10);
  CHECK(four / eight < 25);
  CHECK_THROWS_WITH_AS(GruOdeCell(I, H, rng, {.steps = 0}), "gru-ode: 0 steps of the solver: it must be 1 or more",
                       Error);
}

TEST_CASE("fast weights: attention to the states before, by what they were") {
  Rng rng(6);
  FastWeightsCell cell(I, H, rng, {.rounds = 1});
  rw::test::randomise(cell);
  Tape tape(DType::f64);
  const auto states = unroll(cell, tape.constant(inputs()), cell.zero_state(tape, 1));
  // A(t) g is a sum over the states before of their product with g, and need not be a matrix.
  Array A({H, H}, DType::f64);
  for (std::size_t s = 0; s + 1 < static_cast<std::size_t>(T); ++s)
    for (Index i = 0; i < H; ++i)
      for (Index j = 0; j < H; ++j)
        A.set({i, j}, A.at({i, j}) + 0.5 * std::pow(0.95, static_cast<double>(T - 2) - static_cast<double>(s)) *
                                         states[s].h.array().at({0, i}) * states[s].h.array().at({0, j}));
  CHECK(most_apart(states.back().A.array(), A) < 1e-14);
  const Tensor u = matmul(select(tape.constant(inputs()), 0, T - 1), cell.parameter("W")) +
                   matmul(states[T - 2].h, cell.parameter("R")) + cell.parameter("b");
  const auto normed = [&](Tensor v) {
    const Tensor centred = v - mean(v, {-1}, true);
    return centred / sqrt(mean(square(centred), {-1}, true) + 1e-5) * cell.parameter("norm.gain") +
           cell.parameter("norm.shift");
  };
  const Tensor first = tanh(normed(u)), second = tanh(normed(u + matmul(first, tape.constant(A))));
  CHECK(most_apart(states.back().h.array(), second.array()) < 1e-12);
}

TEST_CASE("fast weights: the slow matrix starts as what barely remembers, unless told otherwise") {
  Rng rng(6);
  const auto slow = [](const auto& c) { return c.parameter("R").value(); };
  const Array small = identity(H, H, 0.05);
  CHECK(slow(FastWeightsCell(I, H, rng)) == small);
  CHECK(slow(FastWeightsCell(I, H, rng, {.rounds = 2})) == small);
  CHECK(slow(FastWeightsCell(I, H, rng, {.bias = Bias::none})) == small);
  CHECK(slow(FastWeightsCell(I, H, rng, {.rounds = 2}, {.bias = Bias::two})) == small);
  CHECK(slow(make_cell("fast-weights", I, H, rng, {.bias = Bias::two})) == small);
  CHECK(slow(FastWeightsCell(I, H, rng, {.recurrent = Init::identity()})) == identity(H));
}

TEST_CASE("adaptive computation time: the mean of rounds by their halting probabilities, and what they cost") {
  Rng rng(8);
  AdaptiveCell cell(GruCell(I + 1, H, rng), rng, {.at_most = 4});
  rw::test::randomise(cell);
  for (const double b : {-1.0, 0.5, 6.0}) {
    cell.parameter("halt_b").set(full({1}, b, DType::f64));
    Tape tape(DType::f64);
    const Tensor x = select(tape.constant(inputs()), 0, 0);
    const auto state = cell.step(x, cell.zero_state(tape, 1));
    double total = 0, rounds = 0, rest = 0;
    Array expected({1, H}, DType::f64);
    auto round = cell.cell().zero_state(tape, 1);
    for (int n = 0; n < 4; ++n) {
      round = cell.cell().step(concat({x, tape.constant(n == 0 ? 1 : 0, Shape{1, 1})}, 1), round);
      const double p = logistic((matmul(round.h, cell.parameter("halt_w"))).item() + b);
      const bool ends = n == 3 || total + p >= 0.99;
      const double weight = ends ? 1 - total : p;
      for (Index k = 0; k < H; ++k) expected.set({0, k}, expected.at({0, k}) + weight * round.h.array().at({0, k}));
      ++rounds;
      rest = 1 - total;
      total += weight;
      if (ends) break;
    }
    CAPTURE(b);
    CHECK(most_apart(state.inner.h.array(), expected) < 1e-14);
    CHECK(state.ponder.item() == doctest::Approx(rounds + rest).epsilon(1e-14));
  }
  CHECK_THROWS_WITH_AS(AdaptiveCell(GruCell(2, 2, rng), rng, {.at_most = 0}),
                       "adaptive: 0 rounds: it must be 1 or more", Error);
}

namespace {

// A scan over all steps beside the loop over them: outputs, last state and gradients, and compiled.
template <class C>
void check_scan() {
  Rng rng(9);
  C cell(I, H, rng);
  rw::test::randomise(cell);
  const Array x = inputs(17, 2);
  std::vector<Array> gradients[2];
  Array values[2];
  for (const bool scanned : {false, true}) {
    Tape tape(DType::f64);
    cell.zero_grad();
    typename C::State start = cell.zero_state(tape, 2);
    for_each_tensor(start, [&](Tensor& t) { t = t + 0.3; });
    const Tensor in = tape.variable(x);
    Tensor y;
    typename C::State last;
    if (scanned) {
      const auto all = cell.scan(in, start);
      y = all.outputs;
      last = all.last;
    } else {
      const auto states = unroll(cell, in, start);
      y = outputs(cell, states);
      last = states.back();
    }
    Tensor loss = sum(square(y));
    for_each_tensor(last, [&](const Tensor& t) { loss = loss + sum(t * t * t); });
    backward(loss);
    values[scanned] = y.array();
    gradients[scanned].push_back(Array(tape.grad(in)));
    for (const NamedParameter& p : cell.parameters()) gradients[scanned].push_back(p.parameter->grad());
  }
  CHECK(most_apart(values[0], values[1]) < 1e-13);
  for (std::size_t i = 0; i < gradients[0].size(); ++i) CHECK(most_apart(gradients[0][i], gradients[1][i]) < 1e-11);
  auto compiled = compile(
      [&](Tape& tape, Tensor in) {
        const Tensor y = cell.scan(in, cell.zero_state(tape, 2)).outputs, loss = sum(square(y));
        backward(loss);
        return loss;
      },
      {.dtype = DType::f64}, x);
  cell.zero_grad();
  Tape tape(DType::f64);
  const Tensor loss = sum(square(outputs(cell, unroll(cell, tape.constant(x), cell.zero_state(tape, 2)))));
  CHECK(std::abs(compiled(x).item() - loss.item()) < 1e-11);
  const Array planned = cell.parameter("W").grad();
  cell.zero_grad();
  backward(loss);
  CHECK(most_apart(planned, cell.parameter("W").grad()) < 1e-11);
}

}  // namespace

TEST_CASE("scans over all steps are the loops over them") {
  check_scan<MinGruCell>();
  check_scan<MinLstmCell>();
  check_scan<QrnnCell>();
  check_scan<LruCell>();
}

TEST_CASE("LRU's scan keeps its digits over thousands of steps, and takes one") {
  Rng rng(2);
  const LruCell cell(I, H, rng);
  for (const Index steps : {1, 2, 3, 4, 5, 3001}) {
    const Array x = uniform(rng, {steps, 2, I}, -1, 1);
    cell.to(DType::f64);
    Tape exact(DType::f64);
    const Array by_steps =
        outputs(cell, unroll(cell, exact.constant(x.to(DType::f64)), cell.zero_state(exact, 2))).array();
    CHECK(most_apart(cell.scan(exact.constant(x.to(DType::f64)), cell.zero_state(exact, 2)).outputs.array(), by_steps) <
          1e-12);
    cell.to(DType::f32);
    Tape tape;
    const Array at_once = cell.scan(tape.constant(x), cell.zero_state(tape, 2)).outputs.array();
    CHECK(most_apart(at_once.to(DType::f64), by_steps) < 2e-6);
  }
}
