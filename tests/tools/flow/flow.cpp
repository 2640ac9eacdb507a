#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/flow/flow.h>

namespace {

using namespace rw;

Array random_array(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  Array a(shape, DType::f64);
  for (double& x : a.span<double>()) x = rng.normal();
  return a;
}

/// h' = a h: what flows is known.
struct Decay {
  struct State {
    Tensor h;
  };
  double factor;
  State zero_state(Tape& tape, Index n) const { return {tape.constant(zeros(n, 3))}; }
  State step(Tensor x, const State& s) const { return {s.h * factor + x}; }
};

/// Its output is no tensor of its state.
struct Hidden {
  struct State {
    Tensor memory;
  };
  mutable Parameter U{"U", full({3, 3}, 0.2)};
  State zero_state(Tape& tape, Index n) const { return {tape.constant(zeros(n, 3))}; }
  State step(Tensor x, const State& s) const { return {tanh(x + matmul(s.memory, U))}; }
  Tensor output(const State& s) const { return s.memory * 2; }
};

}  // namespace

TEST_CASE("spectral norms") {
  CHECK(spectral_norm(Array({3.0, 0.0, 0.0, -4.0}, {2, 2})) == doctest::Approx(4));
  CHECK(spectral_norm(Array({1.0, 1.0, 1.0, 1.0, 1.0, 1.0}, {2, 3})) == doctest::Approx(std::sqrt(6.0)));
  CHECK(spectral_norm(Array({1e-200, 0.0, 0.0, 2e-200}, {2, 2})) == doctest::Approx(2e-200));
  CHECK(spectral_norm(zeros(2, 2)) == 0);
  CHECK_THROWS_AS(spectral_norm(zeros(2)), Error);
}

TEST_CASE("what flows through a cell that only decays") {
  const FlowReport r = flow(Decay{0.5}, zeros(10, 2, 3));
  REQUIRE(r.carried.size() == 11);
  for (int t = 0; t <= 10; ++t) CHECK(r.carried[static_cast<std::size_t>(t)] == doctest::Approx(std::pow(0.5, 10 - t)));
  for (double s : r.step_jacobian) CHECK(s == doctest::Approx(0.5));
  CHECK(r.loss_gradient[3] == doctest::Approx(r.loss_gradient[10] * std::pow(0.5, 7)));
  CHECK(r.rate() == doctest::Approx(0.5));
  CHECK(r.verdict() == "vanishing");
  CHECK(r.contributions.empty());
  CHECK(flow(Decay{1.5}, zeros(10, 2, 3)).verdict() == "exploding");
  CHECK(flow(Decay{1}, zeros(10, 2, 3)).verdict() == "carried");
  CHECK(flow(Decay{0}, zeros(10, 2, 3)).verdict() == "vanishing");
}

TEST_CASE("the product bound of Pascanu, Mikolov and Bengio (2013) holds") {
  Rng rng(3);
  for (double gain : {0.5, 1.0, 1.7}) {
    RnnCell cell(4, 8, rng);
    Parameter& R = cell.parameter("R");
    Array scaled = R.value();
    for (float& v : scaled.span<float>()) v *= static_cast<float>(gain);
    R.set(scaled);
    const Array x = random_array({30, 1, 4}, 5);
    const FlowReport r = flow(cell, x);
    const double sigma = r.recurrent.begin()->second;
    CHECK(r.recurrent.begin()->first.ends_with("R"));
    CHECK(sigma == doctest::Approx(gain).epsilon(1e-5));  // of an orthogonal matrix times the gain

    Tape tape(DType::f64);  // max |f'| = max (1 - h^2), over all steps
    double slope = 0;
    for (const auto& s : unroll(cell, tape.constant(x), cell.zero_state(tape, 1)))
      for (double h : s.h.array().to_vector<double>()) slope = std::max(slope, 1 - h * h);
    CHECK(slope < 1);
    for (int t = 0; t <= 30; ++t) {
      const double measured = r.carried[static_cast<std::size_t>(t)], bound = std::pow(sigma * slope, 30 - t);
      CHECK(measured <= bound * (1 + 1e-9));
      CHECK(measured > 0);
    }
    for (double s : r.step_jacobian) CHECK(s <= sigma * slope * (1 + 1e-9));
  }
}

TEST_CASE("contributions of the steps add up to the gradient") {
  // With one nonzero flow only: a cell whose step's contribution is known, dW_t = x_t^T dh_t.
  Rng rng(4);
  const GruCell cell(3, 5, rng);
  const Array x = random_array({1, 2, 3}, 6);
  const auto loss = [](std::span<const Tensor> h) { return sum(square(h.back())); };
  const FlowReport r = flow(cell, x, {.loss = loss});
  Tape tape(DType::f64);
  backward(sum(square(unroll(cell, tape.constant(x), cell.zero_state(tape, 2)).back().h)));
  for (const auto& p : cell.parameters()) {
    double squares = 0;
    for (double g : p.parameter->grad().to_vector<double>()) squares += g * g;
    const auto found = std::find_if(r.contributions.begin(), r.contributions.end(),
                                    [&](const auto& c) { return c.first.ends_with(p.parameter->name()); });
    REQUIRE(found != r.contributions.end());
    CHECK(found->second.at(0) == doctest::Approx(std::sqrt(squares)).epsilon(1e-5));
  }
}

TEST_CASE("any cell: LSTM with two tensors, stacks, and an output that is no state") {
  Rng rng(4);
  const LstmCell lstm(3, 4, rng);
  const Array x = random_array({12, 2, 3}, 6);
  const FlowReport r = flow(lstm, x);
  CHECK(r.steps == 12);
  CHECK(r.carried.back() == doctest::Approx(1));
  CHECK(r.saturation.size() == 5);  // three gates, the candidate, and tanh of the cell
  for (const auto& [name, s] : r.saturation) CHECK(s.low.size() == 12);
  CHECK(r.contributions.size() == 3);
  CHECK(r.contributions.begin()->second.size() == 12);

  std::vector<LstmCell> layers;
  layers.emplace_back(3, 4, rng);
  layers.emplace_back(4, 4, rng);
  const FlowReport two = flow(Stack<LstmCell>(std::move(layers)), x);
  CHECK(two.contributions.size() == 6);
  CHECK(two.recurrent.size() >= 2);

  const FlowReport erased = flow(AnyCell(lstm.clone()), x);
  CHECK(erased.carried.front() == doctest::Approx(r.carried.front()));

  const FlowReport h = flow(Hidden(), x);
  CHECK(h.carried.back() == doctest::Approx(1));
  CHECK(h.carried.front() < 1);
}

TEST_CASE("the gradient of a loss at every step reaches further than one at the end") {
  Rng rng(4);
  const RnnCell cell(3, 4, rng);
  const Array x = random_array({20, 1, 3}, 6);
  const FlowReport all = flow(cell, x, {.loss = [](std::span<const Tensor> h) {
                                Tensor l = sum(h[0]);
                                for (std::size_t t = 1; t < h.size(); ++t) l = l + sum(h[t]);
                                return l;
                              }});
  CHECK(all.loss_gradient[20] == doctest::Approx(2));  // ones of 4
  CHECK(all.loss_gradient[1] > 0.1);
}

TEST_CASE("what cannot be measured is said") {
  Rng rng(4);
  RnnCell cell(3, 4, rng);
  const Array x = random_array({5, 1, 3}, 6);
  CHECK_THROWS_WITH_AS(flow(cell, zeros(0, 1, 3)), doctest::Contains("at least one step"), Error);
  CHECK_THROWS_WITH_AS(flow(cell, x, {.loss = [](auto h) { return h.back(); }}), doctest::Contains("scalar"), Error);
  CHECK_THROWS_WITH_AS(flow(cell, x, {.loss = [](auto h) { return sum(detach(h.back())); }}),
                       doctest::Contains("needs a gradient"), Error);
  const Parameter elsewhere("V", zeros(2, 2));
  CHECK_THROWS_WITH_AS(flow(cell, x, {.parameters = {&elsewhere}}), doctest::Contains("'V' is not on the tape"), Error);
  CHECK_THROWS_AS(flow_plot_script({}, "x.svg"), Error);
}

TEST_CASE("CSV and plot") {
  std::vector<FlowReport> reports = {flow(Decay{0.5}, zeros(3, 1, 3)), flow(Decay{0}, zeros(3, 1, 3))};
  reports[0].cell = "a,\"b";
  std::ostringstream csv;
  write_flow_csv(csv, reports);
  CHECK(csv.str().starts_with("cell,quantity,name,t,value\n"));
  CHECK(csv.str().find("\"a,\"\"b\",carried,,1,0.25\n") != std::string::npos);
  const std::string script = flow_plot_script(reports, "it's.svg");
  CHECK(script.find("logscale") != std::string::npos);
  CHECK(script.find("it''s.svg") != std::string::npos);
  CHECK(script.find("0 ?\n") != std::string::npos);  // no zero on a log scale
}

TEST_CASE("two layers whose weights have one last name are two lines, by dotted name") {
  struct Twice : Module {
    struct State {
      Tensor h;
    };
    explicit Twice(Rng& rng)
        : Module("twice"), in(child("in", Linear(3, 4, rng))), back(child("back", Linear(4, 4, rng))) {}
    State zero_state(Tape& tape, Index n) const { return {tape.constant(0, {n, 4})}; }
    State step(Tensor x, State s) const { return {tanh(in(x) + back(s.h))}; }
    Linear &in, &back;
  };
  Rng rng(1);
  const Twice cell(rng);
  const FlowReport r = flow(cell, random_array({4, 2, 3}, 1));
  std::vector<std::string> names;
  for (const auto& [name, values] : r.contributions) names.push_back(name);
  CHECK(names == std::vector<std::string>{"back.W", "back.b", "in.W", "in.b"});
  REQUIRE(r.recurrent.size() == 1);
  CHECK(r.recurrent.begin()->first == "back.W");

  struct Loose {  // two modules that are in none
    struct State {
      Tensor h;
    };
    Linear in, back;
    State zero_state(Tape& tape, Index n) const { return {tape.constant(0, {n, 4})}; }
    State step(Tensor x, State s) const { return {tanh(in(x) + back(s.h))}; }
  };
  const FlowReport loose = flow(Loose{Linear(3, 4, rng), Linear(4, 4, rng)}, random_array({4, 2, 3}, 1));
  CHECK(loose.contributions.size() == 4);
  CHECK(loose.contributions.contains("W"));
  CHECK(loose.contributions.contains("W#2"));
}
