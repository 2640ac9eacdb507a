#include <doctest/doctest.h>

#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/cells/variational_dropout.h>
#include <rewind/models/cells/zoneout.h>
#include <rewind/ops/dropout.h>

#include "../sequence.h"
#include "checks.h"

using namespace rw;
using namespace rw::test;

namespace {

Tensor masked(Tensor x, double rate, std::uint64_t key) {
  return x * dropout_mask(x.tape(), {x.size(-2), x.size(-1)}, rate, key);
}

}  // namespace

TEST_CASE("variational dropout: one mask for the input and one for h, the same at all steps; the memory is whole") {
  Rng rng(1);
  VariationalDropout cell(LstmCell(I, H, rng), {.input = 0.5, .recurrent = 0.4, .key = 3});
  cell.to(DType::f64);
  Tape tape(DType::f64);
  const Tensor all = tape.constant(sequence());
  const auto states = unroll(cell, all, random_state(cell, tape, N));
  auto s = random_state(cell, tape, N);
  for (Index t = 0; t < T; ++t) {
    const Tensor x = at_step(all, t);
    CHECK(distance(cell.step(x, s).h, states[static_cast<std::size_t>(t)].h) < 1e-14);
    s = cell.cell().step(masked(x, 0.5, 6), {.h = masked(s.h, 0.4, 7), .c = s.c});
    CHECK(distance(s.h, states[static_cast<std::size_t>(t)].h) < 1e-14);
    CHECK(distance(s.c, states[static_cast<std::size_t>(t)].c) < 1e-14);
  }
  CHECK(distance(masked(s.h, 0.4, 7), s.h) > 0);
  cell.eval();
  CHECK(unroll(cell, all, random_state(cell, tape, N)).back().h.array() ==
        unroll(cell.cell(), all, random_state(cell, tape, N)).back().h.array());
}

TEST_CASE("variational dropout: the matrices of a GRU see the mask, what it keeps is not dropped") {
  Rng rng(1);
  const VariationalDropout cell(GruCell(I, H, rng), {.recurrent = 0.5});
  Array b = cell.parameter("b").value();
  for (Index k = H; k < 2 * H; ++k) b.span<float>()[static_cast<std::size_t>(k)] = 1000;  // z = 1: keep
  cell.parameter("b").set(b);
  Tape tape;
  const auto start = random_state(cell, tape, N);
  const auto states = unroll(cell, tape.constant(sequence()), start);
  CHECK(distance(states.back().h, start.h) < 1e-6);
}

TEST_CASE("variational dropout: another mask at another step, seed, key; the same in chunks") {
  Rng rng(1);
  const auto last = [&](std::uint64_t seed, std::uint64_t step, std::uint32_t key, bool in_chunks) {
    Rng same(1);
    const VariationalDropout cell(RnnCell(I, H, same), {.input = 0.5, .recurrent = 0.5, .key = key});
    Tape tape(TapeOptions{.dtype = DType::f64, .seed = seed});
    tape.set_step(step);
    auto state = random_state(cell, tape, N);
    if (!in_chunks) return unroll(cell, tape.constant(sequence()), state).back().h.array();
    for (const Index from : {0, 2}) {
      const SavedState saved = save_state(state);
      tape.clear();
      dropout_mask(tape, {3}, 0.5);  // other draws do not matter
      const Tensor x = slice(tape.constant(sequence()), 0, from, 2);
      state = unroll(cell, x, restore_state(tape, saved, cell.zero_state(tape, N))).back();
    }
    return state.h.array();
  };
  const Array once = last(1, 0, 0, false);
  const auto equal = [&](const Array& other) {
    Tape tape(DType::f64);
    return distance(tape.constant(once), tape.constant(other)) < 1e-14;
  };
  CHECK(equal(last(1, 0, 0, true)));
  CHECK_FALSE(equal(last(2, 0, 0, false)));
  CHECK_FALSE(equal(last(1, 1, 0, false)));
  CHECK_FALSE(equal(last(1, 0, 1, false)));
}

TEST_CASE("variational dropout: derivatives, clones, other wrappers, cells of one's own") {
  Rng rng(1);
  const VariationalDropout cell(LstmCell(I, H, rng, {.projection = 2}), {.input = 0.3, .recurrent = 0.3});
  check_gradients(cell, sequence().to(DType::f64));
  const auto copy = cell.clone();
  const VariationalDropout own(UgrnnCell(I, H, rng), {.input = 0.5, .recurrent = 0.5});
  const Zoneout inside(VariationalDropout(GruCell(I, H, rng), {.recurrent = 0.5}), {0.5});
  const VariationalDropout outside(Zoneout(GruCell(I, H, rng), {0.5}), {.recurrent = 0.5});
  copy_parameters(inside, outside);
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(unroll(copy, x, copy.zero_state(tape, N)).back().h.array() ==
        unroll(cell, x, cell.zero_state(tape, N)).back().h.array());
  // A cell that does not say what its matrices see: the first tensor of its state is dropped.
  const auto start = random_state(own, tape, N);
  const Tensor first = at_step(x, 0);
  CHECK(distance(own.step(first, start).h, own.cell().step(masked(first, 0.5, 0), {masked(start.h, 0.5, 1)}).h) == 0);
  // Zoneout keeps the state as it was, not as the matrices see it, whichever is outside.
  Tape a, b;
  CHECK(unroll(inside, a.constant(sequence()), random_state(inside, a, N)).back().h.array() ==
        unroll(outside, b.constant(sequence()), random_state(outside, b, N)).back().h.array());
}

TEST_CASE("variational dropout: bad rates, and indices, which have no features to drop") {
  Rng rng(1);
  CHECK_THROWS_WITH_AS(VariationalDropout(GruCell(I, H, rng), {.input = 1}),
                       "variational dropout: input is 1: it must be in [0, 1)", Error);
  CHECK_THROWS_WITH_AS(VariationalDropout(GruCell(I, H, rng), {.recurrent = -0.5}),
                       "variational dropout: recurrent is -0.5: it must be in [0, 1)", Error);
  const VariationalDropout cell(GruCell(I, H, rng), {.input = 0.5});
  Tape tape;
  CHECK_THROWS_WITH_AS(unroll(cell, tape.constant(Array({0, 1, 2, 0}, {2, 2})), cell.zero_state(tape, 2)),
                       "[variational_dropout] drops features, [N, F] or [T, N, F], and cannot drop i32 (2, 2); look "
                       "indices up first (see Embedding), or set input to 0, in gru",
                       Error);
}

namespace {

// Its h is not the first tensor of its state.
class CountingCell : public Module {
 public:
  struct State {
    Tensor count, h;
  };
  explicit CountingCell(Rng& rng) : Module("counting"), R_(param("R", orthogonal(rng, I))) {}
  State zero_state(Tape& tape, Index batch) const {
    return {tape.constant(0, {batch, 1}), tape.constant(0, {batch, I})};
  }
  State step(Tensor x, State s) const { return {s.count + 1, tanh(x + matmul(s.h, R_))}; }
  CountingCell clone() const {
    Rng unused(0);
    return cloned(CountingCell(unused), *this);
  }

 private:
  Parameter& R_;
};

// Nobody knows what its matrix sees.
struct TwoParts : Module {
  struct State {
    Tensor a, b;
  };
  State zero_state(Tape& tape, Index batch) const {
    return {tape.constant(0, {batch, I}), tape.constant(0, {batch, I})};
  }
  State step(Tensor x, State s) const { return {tanh(x + s.b), s.a}; }
  Tensor output(const State& s) const { return s.a; }
  TwoParts clone() const { return {}; }
};

}  // namespace

TEST_CASE("variational dropout drops h, wherever it stands in the state, and a cell without one is refused") {
  Rng rng(1);
  const CountingCell plain(rng);
  const VariationalDropout cell(plain.clone(), {.recurrent = 0.5});
  const VariationalDropout erased(AnyCell(plain.clone()), {.recurrent = 0.5});
  Tape tape;
  const Tensor x = at_step(tape.constant(sequence()), 0);
  const CountingCell::State s{tape.constant(full({N, 1}, 3)), tape.constant(full({N, I}, 0.7))};
  const auto right = plain.step(x, {s.count, masked(s.h, 0.5, 1)});
  CHECK(distance(right.h, plain.step(x, s).h) > 0);
  CHECK(distance(cell.step(x, s).h, right.h) == 0);
  CHECK(distance(cell.step(x, s).count, right.count) == 0);
  CHECK(distance(erased
                     .step(x, {.tensors =
                                   [&] {
                                     InlineVector<Tensor, 4> all;
                                     all.push_back(s.count);
                                     all.push_back(s.h);
                                     return all;
                                   }()})
                     .tensors[1],
                 right.h) == 0);

  const char* message =
      "variational dropout: which tensor of its state do the recurrent matrices of 'module' see? Call it h, or give "
      "the "
      "cell a step_seeing(x, state, seen) (see models/cells/gates.h); of a Stack wrap the layers";
  CHECK_THROWS_WITH_AS(VariationalDropout(TwoParts(), {.recurrent = 0.5}), message, Error);
  CHECK_THROWS_WITH_AS(VariationalDropout(AnyCell(TwoParts()), {.recurrent = 0.5}), message, Error);
  CHECK_THROWS_AS(VariationalDropout(two_layers(rng), {.recurrent = 0.5}), Error);
  const VariationalDropout input_only(TwoParts(), {.input = 0.5});
  CHECK(distance(input_only.step(x, input_only.zero_state(tape, N)).a, tanh(masked(x, 0.5, 0))) == 0);
}
