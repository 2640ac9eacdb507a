#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/any_cell.h>
#include <rewind/models/linear.h>

#include "sequence.h"

using namespace rw;
using namespace rw::test;

namespace {

std::vector<Array> take_gradients(const Module& module) {
  std::vector<Array> all;
  for (const NamedParameter& p : module.parameters()) all.push_back(p.parameter->grad());
  module.zero_grad();
  return all;
}

double distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  for (Index i = 0; i < a.size(); ++i)
    most = std::max(
        most, std::abs(a.span<double>()[static_cast<std::size_t>(i)] - b.span<double>()[static_cast<std::size_t>(i)]));
  return most;
}

// Two chunks, the state carried from one to the next: eager, and by a plan that is traced once.
template <class C>
void check_compiled(const C& cell) {
  cell.to(DType::f64);
  const auto step = [&](Tape&, Tensor x, typename C::State s) {
    const auto states = unroll(cell, x, s);
    const Tensor loss = asymmetric(outputs(cell, states));
    backward(loss);
    return std::pair(loss, states.back());
  };
  const Array first = sequence().to(DType::f64);
  Tape tape(DType::f64), start(DType::f64);
  const auto zero = cell.zero_state(start, N);
  const auto a = step(tape, tape.constant(first), cell.zero_state(tape, N));
  const auto b = step(tape, tape.constant(first), detach_state(a.second));
  const auto expected = take_gradients(cell);

  auto plan = compile(step, first, zero);
  const auto c = plan(first, zero);
  CHECK(c.first.item() == doctest::Approx(a.first.item()).epsilon(1e-12));
  const SavedState carried = save_state(c.second);
  Tape other(DType::f64);
  const auto d = plan(first, restore_state(other, carried, cell.zero_state(other, N)));
  CHECK(plan.plans() == 1);
  CHECK(d.first.item() == doctest::Approx(b.first.item()).epsilon(1e-12));
  const auto found = take_gradients(cell);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(distance(found[i], expected[i]) < 1e-11);
}

}  // namespace

TEST_CASE("every cell compiles, and its plan gives the eager losses, states and gradients") {
  Rng rng(1);
  for (const std::string_view name : cell_names()) {
    CAPTURE(std::string(name));
    check_compiled(make_cell(name, I, H, rng, {.bias = Bias::two}));
  }
  check_compiled(LstmCell(I, H, rng));
  check_compiled(UgrnnCell(I, H, rng));
}

TEST_CASE("so does a stack") {
  Rng rng(1);
  check_compiled(two_layers(rng));
}
