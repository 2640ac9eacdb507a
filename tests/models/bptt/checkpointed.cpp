#include <cmath>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/clipped.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/variational_dropout.h>
#include <rewind/models/cells/zoneout.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/reduce.h>

#include "checkpoint_checks.h"

using namespace rw;
using namespace rw::test;

namespace {

Array lengths_of(Index a, Index b) { return Array({static_cast<std::int32_t>(a), static_cast<std::int32_t>(b)}, {2}); }

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

// The same for padded batches, unsorted and with a sequence without steps, and from the last step to the first.
template <class C>
void check_padded(const C& cell, const Array& x) {
  for (const bool each : {false, true})
    for (const bool start : {false, true})
      for (const bool reverse : {false, true})
        for (const auto& lengths : {lengths_of(9, L), lengths_of(L - 2, 0), lengths_of(0, 0)})
          for (const Index block : {3, 8}) {
            CAPTURE(each);
            CAPTURE(start);
            CAPTURE(reverse);
            CAPTURE(block);
            const Case c{.each = each, .start = start, .run = {.reverse = reverse, .lengths = lengths}};
            const SavedState first = start ? some_state(cell) : SavedState{};
            const Found expected = plain(cell, x, first, block, c);
            for (const Index states : {1, 3})
              check_same(checkpointed(cell, x, first, {.states = states, .block = block}, c), expected);
            check_same(checkpointed(cell, x, first, {.bytes = 1 << 20, .block = block}, c), expected);
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

TEST_CASE("so they are for padded batches, in both directions") {
  Rng rng(1);
  Array x = sequence(L);
  check_padded(LstmCell(I, H, rng), x);
  check_padded(UgrnnCell(I, H, rng), x);
  check_padded(two_layers(rng, 0.4), x);
  check_padded(Zoneout(GruCell(I, H, rng), {0.3}), x);
  x.span<float>()[static_cast<std::size_t>((L - 1) * N * I)] =
      std::nanf("");  // in the padding of every batch but the second
  const Case c{.run = {.lengths = lengths_of(9, L)}};
  const LstmCell cell(I, H, rng);
  check_same(checkpointed(cell, x, {}, {.states = 2}, c), plain(cell, x, {}, 8, c));
}

TEST_CASE("a block of 1 gives the bits of a loop over step, for every cell and its losses") {
  Rng rng(1);
  const auto check = [](const auto& cell) {
    const Array x = sequence(L);
    for (const bool each : {false, true})
      for (const Index states : {1, 3}) {
        const Case c{.each = each};
        check_same(checkpointed(cell, x, {}, {.states = states, .block = 1}, c), plain(cell, x, {}, 0, c));
      }
  };
  check(LstmCell(I, H, rng));
  check(LstmCell(I, H, rng, {.peepholes = LstmOptions::Peepholes::all, .projection = 3}));
  check(GruCell(I, H, rng));
  check(two_layers(rng, 0.4));
  check(OddCell(rng));
  check(make_cell("lstm+norm+zoneout=0.2", I, H, rng));
  check(Clipped(VariationalDropout(GruCell(I, H, rng), {.input = 0.2, .recurrent = 0.4}), 0.3));
}

TEST_CASE("a cell without project gives the bits of plain unroll, and so does one block for the others") {
  Rng rng(1);
  const auto check = [](const auto& cell, Index block, const CheckpointedRun& run) {
    Tape tape;
    UnrollOptions options{.reverse = run.reverse};
    if (run.lengths) options.lengths = tape.constant(*run.lengths);
    const auto states = unroll(cell, tape.constant(sequence(L)), cell.zero_state(tape, N), options);
    backward(loss_of(last_state(cell, states, options)));
    const auto expected = take_gradients(cell);
    CheckpointedBptt bptt(cell, N, {.states = 2, .block = block});
    bptt.backward(
        sequence(L), [](const auto& last) { return loss_of(last); }, run);
    check_same_bits(take_gradients(cell), expected);
  };
  for (const bool reverse : {false, true}) {
    check(UgrnnCell(I, H, rng), 8, {.reverse = reverse});
    check(UgrnnCell(I, H, rng), 8, {.reverse = reverse, .lengths = lengths_of(L, 7)});
    check(LstmCell(I, H, rng), L, {.reverse = reverse, .lengths = lengths_of(9, L)});
  }
}

TEST_CASE("a loss may draw, too") {
  Rng rng(1);
  const Zoneout cell(GruCell(I, H, rng), {0.3});
  const auto loss = [](Index t, const GruCell::State& s) {
    return counts(t) ? asymmetric(dropout(s.h, 0.5)) : Tensor();
  };
  Tape tape({.seed = 5});
  std::optional<Tensor> sum;
  auto state = cell.zero_state(tape, N);
  const Tensor x = tape.constant(sequence(L));
  for (Index t = 0; t < L; ++t) {
    state = cell.step(at_step(x, t), state);
    if (const Tensor one = loss(t, state); counts(t)) sum = sum ? *sum + one : one;
  }
  backward(*sum);
  const auto expected = take_gradients(cell);
  for (const Index states : {1, 2, 100}) {
    CheckpointedBptt bptt(cell, N, {.states = states, .block = 1}, {.seed = 5});
    CHECK(bptt.backward_each(sequence(L), loss) == doctest::Approx(sum->item()).epsilon(1e-6));
    check_same_bits(take_gradients(cell), expected);
  }
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

TEST_CASE("two calls draw different masks, each to the bit those of plain back-propagation at its step") {
  Rng rng(1);
  const OddCell cell(rng);
  const Array x = sequence(L);
  const auto loss = [](const OddCell::State& last) { return loss_of(last); };
  const auto plain_at = [&](std::uint64_t step) {
    Tape tape({.seed = 5, .step = step});
    backward(loss(unroll(cell, tape.constant(x), cell.zero_state(tape, N)).back()));
    return take_gradients(cell);
  };
  CheckpointedBptt bptt(cell, N, {.states = 3, .block = 4}, {.seed = 5});
  for (const std::uint64_t step : {0, 1, 2}) {
    CHECK(bptt.tape().next_step() == step);
    bptt.backward(x, loss);
    const auto found = take_gradients(cell);  // before plain_at adds its own
    check_same_bits(found, plain_at(step));
  }
  CHECK_FALSE(plain_at(0)[0] == plain_at(1)[0]);
  CheckpointedBptt later(cell, N, {}, {.seed = 5, .step = 2});
  later.backward(x, loss);
  const auto found = take_gradients(cell);
  check_same_bits(found, plain_at(2));
}

TEST_CASE("of no steps the loss is that of the start, and gradients reach what it is made of") {
  Rng rng(1);
  const OddCell cell(rng);
  const LstmCell constant(I, H, rng);
  const Array none = zeros(0, N, I);
  CheckpointedBptt bptt(cell, N);
  const double loss = bptt.backward(none, [](const auto& last) { return sum(last.h); });
  const Array start = cell.parameter("h0").value();
  double expected = 0;
  for (const float v : start.span<float>()) expected += N * v;
  CHECK(loss == doctest::Approx(expected));
  CHECK(cell.parameter("h0").grad() == full({1, H}, N));
  CHECK(bptt.last_state()[0].at({1, 2}) == start.at({0, 2}));
  CHECK(bptt.backward_each(none, [](Index, const auto& s) { return sum(s.h); }) == 0);

  CheckpointedBptt from(constant, N, {.input_gradient = true});
  from.set_start({full({N, H}, 2), full({N, H}, 3)});
  CHECK(from.backward(none, [](const auto& last) { return sum(last.h); }) == 2 * N * H);
  CHECK(from.start_gradient()[0] == full({N, H}, 1));
  CHECK(from.start_gradient()[1] == Array(Shape{N, H}));
  CHECK(from.input_gradient().shape() == Shape{0, N, I});
}
