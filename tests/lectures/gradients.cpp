// What the lectures say of gradients through time: products of Jacobians and their bound, replicas whose gradients are
// averaged, truncated back-propagation.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/flow/flow.h>

using namespace rw;

namespace {

constexpr Index H = 5, I = 2;

// A tanh network with V = gain times an orthogonal matrix, all of whose singular values are gain.
RnnCell network(double gain) {
  Rng rng(4);
  return RnnCell(I, H, rng, {.recurrent = Init::orthogonal(gain)});
}
Array inputs(Index steps, double size) {
  Rng rng(9);
  return uniform(rng, {steps, 1, I}, -size, size).to(DType::f64);
}

// The same network with sigmoid in the place of tanh.
class SigmoidCell : public Module {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  explicit SigmoidCell(double gain) : Module("sigmoid-rnn"), rnn_(child("rnn", network(gain))) {}
  State zero_state(Tape& tape, Index batch) const { return {rnn_.zero_state(tape, batch).h}; }
  State step(Tensor x, const State& s) const { return {sigmoid(rnn_.project(x) + matmul(s.h, rnn_.parameter("R")))}; }

 private:
  RnnCell& rnn_;
};

}  // namespace

TEST_CASE("A, B: dh_t/dh_k is a product of Jacobians, and |dh_t/dh_k| <= (|V| max|g'|)^(t-k)") {
  for (const double gain : {0.5, 0.9, 1.5}) {
    CAPTURE(gain);
    const RnnCell cell = network(gain);
    const FlowReport report = flow(cell, inputs(12, 1));
    CHECK(report.recurrent.begin()->second == doctest::Approx(gain).epsilon(1e-5));
    double product = 1;
    for (Index k = 11; k >= 0; --k) {
      product *= report.step_jacobian[static_cast<std::size_t>(k)];
      const double carried = report.carried[static_cast<std::size_t>(k)];
      CHECK(carried <= product * (1 + 1e-9));  // |J_t ... J_k+1| <= |J_t| ... |J_k+1|
      CHECK(carried <= std::pow(gain, static_cast<double>(12 - k)) * (1 + 1e-5));  // max|tanh'| = 1
    }
  }
}

TEST_CASE("B: with sigmoid, |dh_t/dh_k| <= (|V| / 4)^(t-k): V must be 4 times as large not to vanish") {
  for (const double gain : {1.0, 3.5}) {
    CAPTURE(gain);
    const FlowReport report = flow(SigmoidCell(gain), inputs(12, 1));
    for (Index k = 11; k >= 0; --k)
      CHECK(report.carried[static_cast<std::size_t>(k)] <=
            std::pow(gain / 4, static_cast<double>(12 - k)) * (1 + 1e-5));
    CHECK(report.verdict() == "vanishing");
  }
}

TEST_CASE("B: max|g'| is 1/4 for sigmoid and 1 for tanh, both at 0") {
  Tape tape(DType::f64);
  Array grid({2001}, DType::f64);
  for (Index i = 0; i <= 2000; ++i) grid.set({i}, 0.01 * static_cast<double>(i - 1000));
  const Tensor x = tape.variable(grid);
  const Tensor s = grad(sum(sigmoid(x)), x), t = grad(sum(tanh(x)), x);
  CHECK(max(s).item() == 0.25);
  CHECK(s.array().at({1000}) == 0.25);
  CHECK(max(t).item() == 1);
  CHECK(t.array().at({1000}) == 1);
}

TEST_CASE("A: a largest singular value below 1 makes gradients vanish, above 1 they may explode") {
  CHECK(flow(network(0.8), inputs(60, 0.1)).verdict() == "vanishing");
  CHECK(flow(network(1.2), inputs(60, 0)).verdict() == "exploding");
  // May: saturated units do not.
  CHECK(flow(network(1.2), inputs(60, 20)).verdict() == "vanishing");
}

TEST_CASE("C, an error: tanh bounds states, not gradients: V = 3 I at h = 0 multiplies them by 3 a step") {
  Rng rng(1);
  const RnnCell cell(I, H, rng, {.recurrent = Init::identity(3)});
  const FlowReport report = flow(cell, Array({6, 1, I}, DType::f64));
  for (std::size_t k = 0; k <= 6; ++k) CHECK(report.carried[6 - k] == doctest::Approx(std::pow(3, k)).epsilon(1e-12));
}

TEST_CASE("B: V <- V - eta (1/U) sum_u dE/dV(t-u), the average of the gradients of U replicas, and V_B alike") {
  const RnnCell cell = network(0.9);
  cell.to(DType::f64);
  const Index U = 4;
  const Array x = inputs(U, 1);
  const Array before[] = {cell.parameter("W").value(), cell.parameter("R").value()};
  // Replicas with weights of their own, of the input and of the state.
  Tape tape(DType::f64);
  std::vector<Operand> replicas[2];
  Tensor h = tape.constant(0, Shape{1, H});
  for (Index u = 0; u < U; ++u) {
    const Tensor W = tape.variable(before[0]), R = tape.variable(before[1]);
    replicas[0].push_back(W), replicas[1].push_back(R);
    h = tanh(matmul(select(tape.constant(x), 0, u), W) + matmul(h, R) + cell.parameter("b"));
  }
  const Tensor loss = sum(square(h));
  const auto updated = [&](std::size_t which) {
    Array expected = before[which];
    for (const Tensor& g : grad(loss, replicas[which])) {
      const auto d = g.array().to_vector<double>();
      for (std::size_t i = 0; i < d.size(); ++i) expected.span<double>()[i] -= 0.1 / static_cast<double>(U) * d[i];
    }
    return expected;
  };
  const Array expected[] = {updated(0), updated(1)};
  // The unrolled network, whose weights are one.
  Tape unrolled(DType::f64);
  cell.zero_grad();
  backward(sum(square(unroll(cell, unrolled.constant(x), cell.zero_state(unrolled, 1)).back().h)));
  mean_over_uses(cell.parameters(), U);
  Sgd sgd(cell.parameters(), {.rate = 0.1});
  sgd.step();
  double printed = 0;
  for (const std::size_t which : {0, 1}) {
    const auto found = cell.parameter(which == 0 ? "W" : "R").value().to_vector<double>();
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(std::abs(expected[which].span<double>()[i] - found[i]) < 1e-15);
      // An error: as printed, with the weights themselves in the sum, they would only shrink, whatever the loss.
      printed = std::max(printed, std::abs(0.9 * before[which].span<double>()[i] - found[i]));
    }
  }
  CHECK(printed > 0.01);
}

TEST_CASE("A: back-propagation over 12 steps is one update; truncated to 4, three updates of about the same work") {
  const RnnCell cell = network(0.9);
  const Array x = inputs(12, 1);
  const auto piece = [&](Index from, Index count) {
    Tape tape(DType::f64);
    return slice(tape.constant(x), 0, from, count).array();
  };
  TruncatedBptt whole(cell, 1), truncated(cell, 1);
  NodeId one = 0, three = 0;
  int updates = 0;
  const auto update = [&](TruncatedBptt<RnnCell>& bptt, const Array& chunk, NodeId& nodes) {
    cell.zero_grad();
    backward(sum(square(outputs(bptt.unroll(chunk)))));
    nodes += bptt.tape().size();
    ++updates;
  };
  update(whole, x, one);
  CHECK(updates == 1);
  for (const Index from : {0, 4, 8}) update(truncated, piece(from, 4), three);
  CHECK(updates == 1 + 3);
  CHECK(three < one * 3 / 2);
  CHECK(three >= one);
}
