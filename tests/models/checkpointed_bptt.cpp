#include <optional>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/any_cell.h>
#include <rewind/models/checkpointed_bptt.h>
#include <rewind/models/clipped.h>
#include <rewind/models/gru_cell.h>
#include <rewind/models/variational_dropout.h>
#include <rewind/models/zoneout.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/reduce.h>

#include "sequence.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index L = 23;

struct Found {
  double loss = 0;
  std::vector<Array> parameters;
  SavedState start;
  Array x;
  SavedState last;
};

// Equal to the bit: -0 is not 0.
bool same_bits(const Array& a, const Array& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.view().data, b.view().data, static_cast<std::size_t>(a.size()) * size_of(a.dtype())) == 0;
}
void check_same(const Found& a, const Found& b) {
  REQUIRE(a.parameters.size() == b.parameters.size());
  for (std::size_t i = 0; i < a.parameters.size(); ++i) CHECK(same_bits(a.parameters[i], b.parameters[i]));
  REQUIRE(a.start.size() == b.start.size());
  for (std::size_t i = 0; i < a.start.size(); ++i) CHECK(same_bits(a.start[i], b.start[i]));
  REQUIRE(a.last.size() == b.last.size());
  for (std::size_t i = 0; i < a.last.size(); ++i) CHECK(same_bits(a.last[i], b.last[i]));
  CHECK(same_bits(a.x, b.x));
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-6));
}

std::vector<Array> take_gradients(const Module& module) {
  std::vector<Array> all;
  for (const NamedParameter& p : module.parameters()) all.push_back(p.parameter->grad());
  module.zero_grad();
  return all;
}

// A loss of some of a state's tensors, in which every element counts differently.
template <class State>
Tensor loss_of(const State& state) {
  std::optional<Tensor> total;
  for_each_tensor(state, [&](const Tensor& t) {
    if (!is_real(t.dtype())) return;
    const Tensor part = asymmetric(t);
    total = total.has_value() ? *total + part : part;
  });
  return *total;
}

struct Case {
  bool each = false;   // a loss at every second step, or of the last state
  bool start = false;  // from a state that was set
  DType dtype = DType::f32;
};

bool counts(Index t) { return t % 2 == 0; }

template <class C>
Found plain(const C& cell, const Array& x, const SavedState& start, Index block, const Case& c) {
  Tape tape({.dtype = c.dtype, .seed = 5});
  Found found;
  auto state = cell.zero_state(tape, N);
  std::vector<Tensor> variables;
  if (c.start) {
    tape.clear();
    std::size_t i = 0;
    for_each_tensor(state, [&](Tensor& t) { variables.push_back(t = tape.variable(start[i++])); });
  }
  const bool real = is_real(x.dtype());
  const Tensor in = real ? tape.variable(x) : tape.constant(x);
  Tensor loss;
  if (c.each) {
    for (Index t = 0; t < L; t += block) {
      const auto states = unroll(cell, slice(in, 0, t, std::min(block, L - t)), state);
      state = states.back();
      for (std::size_t i = 0; i < states.size(); ++i)
        if (const Index at = t + static_cast<Index>(i); counts(at))
          loss = at == 0 ? loss_of(states[i]) : loss + loss_of(states[i]);
    }
  } else {
    state = unroll_in_blocks(cell, in, state, block).back();
    loss = loss_of(state);
  }
  backward(loss);
  found.loss = loss.item();
  found.parameters = take_gradients(cell);
  for (const Tensor& v : variables) found.start.push_back(Array(tape.grad(v)));
  if (real) found.x = Array(tape.grad(in));
  found.last = save_state(state);
  return found;
}

template <class C>
Found checkpointed(const C& cell, const Array& x, const SavedState& start, const CheckpointOptions& options,
                   const Case& c) {
  CheckpointOptions all = options;
  all.input_gradient = is_real(x.dtype());
  CheckpointedBptt bptt(cell, N, all, {.dtype = c.dtype, .seed = 5});
  if (c.start) bptt.set_start(start);
  Found found;
  if (c.each)
    found.loss = bptt.backward_each(x, [&](Index t, const auto& s) { return counts(t) ? loss_of(s) : Tensor(); });
  else
    found.loss = bptt.backward(x, [&](const auto& s) { return loss_of(s); });
  found.parameters = take_gradients(cell);
  if (c.start) found.start = bptt.start_gradient();
  if (is_real(x.dtype())) found.x = bptt.input_gradient();
  found.last = bptt.last_state();
  return found;
}

template <class C>
SavedState some_state(const C& cell) {
  Tape tape;
  Rng rng(3);
  return save_state(
      map_state(cell.zero_state(tape, N), [&](Tensor t) { return tape.constant(uniform(rng, t.shape(), -1, 1)); }));
}

// Every budget gives the bits of plain back-propagation.
template <class C>
void check_cell(const C& cell, const Array& x, bool can_start = true) {
  for (const bool each : {false, true})
    for (const bool start : {false, true}) {
      if (start && !can_start) continue;
      for (const Index block : {1, 3, 8}) {
        CAPTURE(each);
        CAPTURE(start);
        CAPTURE(block);
        const Case c{.each = each, .start = start};
        const SavedState first = start ? some_state(cell) : SavedState{};
        const Found expected = plain(cell, x, first, block, c);
        for (const Index states : {1, 2, 3, 100})
          check_same(checkpointed(cell, x, first, {.states = states, .block = block}, c), expected);
        check_same(checkpointed(cell, x, first, {.bytes = 1 << 20, .block = block}, c), expected);
        check_same(checkpointed(cell, x, first, {.block = block}, c), expected);
      }
    }
}

// Everything that may be in a state: a mask for all steps, a count, two names of one tensor, a state that the cell
// learns; it draws at every step.
class OddCell : public Module {
 public:
  struct State {
    Tensor h, same, mask, steps, unused;
  };
  explicit OddCell(Rng& rng)
      : Module("odd"),
        W_(param("W", glorot(rng, I, H))),
        R_(param("R", orthogonal(rng, H))),
        h0_(param("h0", uniform(rng, {1, H}, -1, 1))) {}
  State zero_state(Tape& tape, Index batch) const {
    const Tensor h = tape.constant(0, {batch, H}) + h0_;
    return {h, h, dropout_mask(tape, {batch, H}, 0.3), tape.constant(Array({std::int32_t{0}}, Shape{1})),
            tape.constant(0, {batch})};
  }
  State step(Tensor x, State s) const {
    const Tensor h = tanh(matmul(x, W_) + matmul(dropout(s.h, 0.2), R_) * s.same + s.h * s.mask) + s.same * s.h;
    const Tensor out = 0.5 * h;
    return {out, out, s.mask, s.steps, s.unused};
  }

 private:
  Parameter &W_, &R_, &h0_;
};

}  // namespace

TEST_CASE("checkpointed gradients are those of plain back-propagation to the bit") {
  Rng rng(1);
  const Array x = sequence(L);
  check_cell(LstmCell(I, H, rng), x);
  check_cell(UgrnnCell(I, H, rng), x);
  check_cell(make_cell("gru", I, H, rng, {.bias = Bias::two}), x);
}

TEST_CASE("so they are with dropout, in stacks, and for states of every kind") {
  Rng rng(1);
  const Array x = sequence(L);
  check_cell(two_layers(rng, 0.4), x);
  check_cell(OddCell(rng), x, false);
  check_cell(Zoneout(LstmCell(I, H, rng), {0.1, 0.5}), x);
  check_cell(Clipped(VariationalDropout(GruCell(I, H, rng), {.input = 0.2, .recurrent = 0.4}), 0.3), x);
}

TEST_CASE("so they are for larger products, in f64, and for indices") {
  Rng rng(1);
  const LstmCell wide(70, 60, rng);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Case c{.each = true, .start = true, .dtype = dtype};
    const SavedState first = some_state(wide);
    check_same(checkpointed(wide, sequence(L, 70), first, {.states = 2, .block = 5}, c),
               plain(wide, sequence(L, 70), first, 5, c));
  }
  const LstmCell cell(I, H, rng);
  std::vector<std::int32_t> numbers;
  for (Index i = 0; i < L * N; ++i) numbers.push_back(static_cast<std::int32_t>(rng.below(I)));
  const Array indices(numbers, {L, N});
  check_same(checkpointed(cell, indices, {}, {.states = 2, .block = 4}, {}), plain(cell, indices, {}, 4, {}));
}

namespace {

template <class C>
void check_beside_unroll(const C& cell, const CheckpointOptions& options) {
  Tape tape;
  backward(loss_of(unroll(cell, tape.constant(sequence(L)), cell.zero_state(tape, N)).back()));
  const auto expected = take_gradients(cell);
  CheckpointedBptt bptt(cell, N, options);
  bptt.backward(sequence(L), [](const auto& last) { return loss_of(last); });
  const auto found = take_gradients(cell);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(same_bits(found[i], expected[i]));
}

}  // namespace

TEST_CASE("a cell without project gives the bits of plain unroll, and so does one block for the others") {
  Rng rng(1);
  check_beside_unroll(UgrnnCell(I, H, rng), {.states = 2});
  check_beside_unroll(LstmCell(I, H, rng), {.states = 2, .block = L});
}

TEST_CASE("gradients add to what is there; frozen parameters get none") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array x = sequence(L);
  CheckpointedBptt bptt(cell, N, {.states = 3});
  const auto loss = [](const auto& last) { return loss_of(last); };
  bptt.backward(x, loss);
  const Array once = cell.parameter("R").grad();
  bptt.backward(x, loss);
  CHECK(cell.parameter("R").grad().at({1, 2}) == 2 * once.at({1, 2}));
  cell.zero_grad();
  cell.parameter("W").freeze();
  bptt.backward(x, loss);
  CHECK(same_bits(cell.parameter("R").grad(), once));
  CHECK(cell.parameter("W").grad() == Array(cell.parameter("W").shape()));
  Tape other;
  const char* elsewhere = "checkpointed bptt: the loss is on another tape: record it on that of the state it is given";
  CHECK_THROWS_WITH_AS(bptt.backward(x, [&](const auto&) { return other.variable(Array()); }), elsewhere, Error);
  CHECK_THROWS_WITH_AS(bptt.backward_each(x, [&](Index, const auto&) { return other.variable(Array()); }), elsewhere,
                       Error);
  cell.freeze();
  CHECK_THROWS_WITH_AS(bptt.backward(x, loss),
                       "checkpointed bptt: no parameter that the loss depends on needs a gradient: all are frozen",
                       Error);
}

TEST_CASE("steps appear in order, once without and once with gradients, and the plan says how often they run") {
  Rng rng(1);
  const UgrnnCell cell(I, H, rng);
  CheckpointedBptt bptt(cell, N, {.states = 2, .block = 1});
  std::vector<Index> forward, back;
  bptt.backward_each(sequence(L), [&](Index t, const auto& s) {
    (bptt.tape().recording_gradients() ? back : forward).push_back(t);
    return loss_of(s);
  });
  REQUIRE(forward.size() == L - 1);  // the last one is recorded at once
  for (Index t = 0; t < L - 1; ++t) CHECK(forward[static_cast<std::size_t>(t)] == t);
  REQUIRE(back.size() == L);
  for (Index t = 0; t < L; ++t) CHECK(back[static_cast<std::size_t>(t)] == L - 1 - t);
  CHECK(bptt.plan().segments == L);
  CHECK(bptt.plan().places == 2);
  CHECK(bptt.plan().recomputed == doctest::Approx(checkpoint_cost(L, 2) / L));
}

TEST_CASE("a budget in bytes holds, and one below the minimum is refused by a message that says it") {
  Rng rng(1);
  const LstmCell cell(32, 32, rng);
  Rng data(2);
  const Array x = uniform(data, {400, N, 32}, -1, 1);
  const auto loss = [](const auto& last) { return loss_of(last); };
  std::size_t least = 0;
  CheckpointedBptt impossible(cell, N, {.bytes = 0});
  try {
    impossible.backward(x, loss);
    FAIL("a budget of 0 was taken");
  } catch (const Error& e) {
    const std::string text = e.what(), start =
                                           "checkpointed bptt: a memory budget of 0 bytes is below the minimum for "
                                           "this cell, batch and block, ";
    REQUIRE(text.substr(0, start.size()) == start);
    least = std::stoul(text.substr(start.size()));
  }
  CHECK(cell.parameter("R").grad() == Array(cell.parameter("R").shape()));
  CHECK_THROWS_AS(CheckpointedBptt(cell, N, {.bytes = least - 1}).backward(x, loss), Error);
  double before = 1e9;
  for (const std::size_t bytes : {least, 2 * least, 4 * least, 100 * least}) {
    CheckpointedBptt bptt(cell, N, {.bytes = bytes});
    bptt.backward(x, loss);
    CHECK(bptt.plan().bytes <= bytes);
    CHECK(bptt.tape().memory().reserved <= bytes);
    CHECK(bptt.plan().recomputed <= before);
    before = bptt.plan().recomputed;
  }
  CHECK(before == 0);
}

TEST_CASE("options and sequences that make no sense") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  using Bptt = CheckpointedBptt<LstmCell>;
  const auto loss = [](const LstmCell::State& last) { return loss_of(last); };
  CHECK_THROWS_WITH_AS(Bptt(cell, N, {.states = 0}), "checkpointed bptt: 0 stored states: the minimum is 1", Error);
  CHECK_THROWS_WITH_AS(Bptt(cell, N, {.block = 0}), "checkpointed bptt: a block of 0 steps: it must be 1 or more",
                       Error);
  CHECK_THROWS_AS(Bptt(cell, N, {.bytes = 1, .states = 1}), Error);
  Bptt bptt(cell, N, {.states = 2});
  CHECK_THROWS_WITH_AS(bptt.backward(zeros(L, N + 1, I), loss),
                       "checkpointed bptt: a sequence for a batch of 2 is [T, 2, features], or [T, 2] of indices, T >= "
                       "1; not (23, 3, 3)",
                       Error);
  CHECK_THROWS_AS(bptt.backward(zeros({0, N, I}), loss), Error);
  CHECK_THROWS_AS(bptt.backward(zeros(L, N, I + 1), loss), Error);
  CHECK_THROWS_AS(bptt.set_start({zeros(N, H)}), Error);
  CHECK_THROWS_AS(bptt.set_start({zeros(N, H), zeros(N, H + 1)}), Error);
  CHECK_THROWS_AS(bptt.backward(sequence(L), [](const LstmCell::State& last) { return last.h; }), Error);
  CHECK(cell.parameter("R").grad() == Array(cell.parameter("R").shape()));
  CheckpointOptions inputs{.states = 2, .input_gradient = true};
  CHECK_THROWS_WITH_AS(Bptt(cell, N, inputs).backward(Array(std::vector<std::int32_t>(L * N), {L, N}), loss),
                       "checkpointed bptt: indices have no gradient: leave input_gradient off", Error);
  CHECK(bptt.backward(sequence(L), loss) != 0);  // and it still works
}

TEST_CASE("compile cannot trace it, and says so") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const auto step = [&](Tape&, Tensor x) {
    CheckpointedBptt bptt(cell, N, {.states = 2});
    bptt.backward(x, [](const LstmCell::State& last) { return loss_of(last); });
    return sum(x);
  };
  const char* text =
      "checkpointed bptt: compile cannot trace it, because it goes over values again: use it eagerly, or compile "
      "unroll "
      "and backward";
  CHECK_THROWS_WITH_AS(compile(step, sequence(L))(sequence(L)), text, Error);
  CHECK_THROWS_WITH_AS(CheckpointedBptt(cell, N, {}, {.trace = true}), text, Error);
}
