#include <sstream>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/layers/linear.h>
#include <rewind/tools/graph/dot.h>

#include "layers.h"

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

// Batches of other lengths need no other plan.
template <class L>
void check_compiled_lengths(const L& layer, bool reverse = false) {
  layer.to(DType::f64);
  const auto step = [&](Tape&, Tensor x, typename L::State s, Tensor lengths) {
    const UnrollOptions options{.reverse = reverse, .lengths = lengths};
    const auto states = unroll(layer, x, s, options);
    const auto last = last_state(layer, states, options);
    const Tensor loss = asymmetric(clear_padding(outputs(layer, states), lengths)) + asymmetric(output(layer, last), 3);
    backward(loss);
    return std::pair(loss, last);
  };
  const Array x = sequence().to(DType::f64), some[] = {indices_of({2, 4}), indices_of({3, 0}), indices_of({4, 4})};
  Tape start(DType::f64);
  const auto zero = map_state(layer.zero_state(start, N), [](Tensor t) { return t + 0.25; });
  auto plan = compile(step, x, zero, some[0]);
  for (const Array& lengths : some) {
    Tape tape(DType::f64);
    const auto state = restore_state(tape, save_state(zero), layer.zero_state(tape, N));
    const auto expected = step(tape, tape.constant(x), state, tape.constant(lengths));
    const auto gradients = take_gradients(layer);
    const auto found = plan(x, zero, lengths);
    CHECK(found.first.item() == doctest::Approx(expected.first.item()).epsilon(1e-12));
    const SavedState a = save_state(found.second), b = save_state(expected.second);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(distance(a[i], b[i]) < 1e-13);
    const auto same = take_gradients(layer);
    for (std::size_t i = 0; i < same.size(); ++i) CHECK(distance(same[i], gradients[i]) < 1e-11);
  }
  CHECK(plan.plans() == 1);
  CHECK_THROWS_WITH_AS(plan(x, zero, indices_of({5, 0})), doctest::Contains("the length of sequence 0 is 5"), Error);
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

TEST_CASE("layers with unequal lengths and in both directions compile") {
  for_each_cell(I, H, [](auto cell, auto other) {
    using C = decltype(cell);
    check_compiled_lengths(cell);
    check_compiled_lengths(cell, true);
    check_compiled_lengths(both_directions(std::move(cell), std::move(other)));
    check_compiled_lengths(two_bidirectional<C>(I, H));
  });
}

TEST_CASE("lengths cost no product: T steps, compiled with their backward, run at most 2T + 4") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Index steps = 12;
  auto plan = compile(
      [&](Tape& tape, Tensor x, Tensor lengths) {
        const auto states = unroll(cell, x, cell.zero_state(tape, N), {.lengths = lengths});
        backward(asymmetric(outputs(cell, states)));
      },
      sequence(steps), indices_of({3, 12}));
  const Tape graph = plan.graph();
  Index products = 0;
  for (NodeId i = 0; i < graph.size(); ++i) products += graph.node(i).info->product != nullptr ? 1 : 0;
  CHECK(products <= 2 * steps + 4);
  CHECK(products >= 2 * steps);
}

TEST_CASE("they are drawn, folded to one step") {
  const auto layer = two_bidirectional<LstmCell>(I, H);
  Tape tape;
  const Tensor x = tape.constant(sequence(12)), lengths = tape.constant(indices_of({3, 12}));
  unroll(layer, x, layer.zero_state(tape, N), {.lengths = lengths});
  std::ostringstream dot, folded;
  write_dot(dot, tape);
  write_dot(folded, tape, {.fold_time = true});
  CHECK(dot.str().find("sequence_mask") != std::string::npos);
  CHECK(folded.str().find("clear_padding") != std::string::npos);
  CHECK(folded.str().size() < dot.str().size() / 2);
}
