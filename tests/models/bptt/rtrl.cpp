// Real-time recurrent learning beside back-propagation through time.
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include <rewind/models/bptt/rtrl.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

using namespace rw;

namespace {

constexpr Index I = 2, H = 3;

Array sequence(Index steps) {
  Rng rng(5);
  Array x(Shape{steps, 1, I}, DType::f64);
  for (double& e : x.span<double>()) e = rng.uniform(-1, 1);
  return x;
}
ConstView at(const Array& x, Index t) {
  return contiguous_view(static_cast<const void*>(x.span<double>().data() + t * I), {1, I}, DType::f64);
}

template <class C>
C made() {
  Rng rng(2);
  C cell(I, H, rng);
  cell.to(DType::f64);
  return cell;
}

template <class C>
std::vector<double> gradients(const C& cell) {
  std::vector<double> out;
  for (const NamedParameter& p : cell.parameters())
    for (double g : p.parameter->grad().template to_vector<double>()) out.push_back(g);
  return out;
}

// The gradient of the last loss alone, and that of all losses.
template <class C>
std::vector<double> online(const C& cell, const Array& x, const RtrlOptions& options, std::size_t* memory = nullptr) {
  cell.zero_grad();
  Rtrl rtrl(cell, 1, options);
  for (Index t = 0; t < x.shape()[0]; ++t) {
    rtrl.step(at(x, t), [](const auto& s) { return sum(square(s.h)); });
    if (t == 3 && memory != nullptr) memory[0] = rtrl.memory().reserved;
  }
  if (memory != nullptr) memory[1] = rtrl.memory().reserved;
  return gradients(cell);
}

template <class C>
std::vector<double> through_time(const C& cell, const Array& x) {
  cell.zero_grad();
  Tape tape(DType::f64);
  backward(sum(square(outputs(cell, unroll(cell, tape.constant(x), cell.zero_state(tape, 1))))));
  return gradients(cell);
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::abs(a[i] - b[i])), size = std::max(size, std::abs(b[i]));
  return most / size;
}

}  // namespace

TEST_CASE("a thousand steps: the gradient of back-propagation, in memory that does not grow") {
  const LstmCell lstm = made<LstmCell>();
  const GruCell gru = made<GruCell>();
  const Array x = sequence(1000);
  std::size_t memory[2] = {0, 1};
  CHECK(distance(online(lstm, x, {}, memory), through_time(lstm, x)) < 1e-10);
  CHECK(memory[0] == memory[1]);
  CHECK(distance(online(gru, x, {}), through_time(gru, x)) < 1e-10);
}

TEST_CASE("the sparse form: exact once its steps reach everything, and kept small before") {
  const GruCell cell = made<GruCell>();
  const Array x = sequence(12);
  const std::vector<double> exact = through_time(cell, x);
  CHECK(distance(online(cell, x, {.sparse_steps = 1}), exact) > 1e-6);
  CHECK(distance(online(cell, x, {.sparse_steps = 2}), exact) < 1e-12);
  CHECK(distance(online(cell, sequence(1), {.sparse_steps = 1}), through_time(cell, sequence(1))) < 1e-14);
  // Within one step a parameter of one unit reaches that unit alone, but for those of the reset gate's product.
  const auto kept = [&](int steps) {
    Rtrl rtrl(cell, 1, {.sparse_steps = steps});
    for (Index t = 0; t < 12; ++t) rtrl.step(at(x, t), [](const auto& s) { return sum(s.h); });
    const auto all = rtrl.influence().to_vector<double>();
    return std::count_if(all.begin(), all.end(), [](double e) { return e != 0; });
  };
  CHECK(kept(1) * 2 < kept(0));
  CHECK(kept(2) == kept(0));
}

TEST_CASE("a loss with parameters of its own, reset, and a loss that throws") {
  const GruCell cell = made<GruCell>();
  Parameter readout("readout", Array(std::vector<double>{1, -2, 3}, Shape{H}));
  Rtrl rtrl(cell, 1);
  const Array x = sequence(3);
  const auto loss = [&](const GruCell::State& s) { return sum(s.h * readout); };
  rtrl.step(at(x, 0), loss);
  CHECK(readout.grad().to_vector<double>() == rtrl.state()[0].to_vector<double>());
  const std::vector<double> before = gradients(cell);
  const Array state = rtrl.state()[0];
  CHECK_THROWS_AS(rtrl.step(at(x, 1), [](const GruCell::State& s) { return s.h; }), Error);
  CHECK(gradients(cell) == before);
  CHECK(rtrl.state()[0] == state);
  CHECK_THROWS_WITH_AS(Rtrl(cell, 1, {.sparse_steps = -1}), doctest::Contains("[rtrl] sparse_steps is -1"), Error);
  rtrl.reset();
  CHECK(rtrl.influence().size() == 0);
  cell.zero_grad();
  rtrl.step(at(x, 0), loss);
  CHECK(gradients(cell) == before);
}
