// Batches of sequences of unequal length.
#include <doctest/doctest.h>

#include <rewind/models/sequence/recurrent.h>

#include "../layers.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("a padded batch is its sequences alone, values and gradients, in both directions") {
  for_each_cell(I, H, [](auto cell, auto) {
    check_lengths(cell, I, {});
    check_lengths(cell, I, {.reverse = true});
  });
  Rng rng(1);
  check_lengths(two_layers(rng), I, {});
  check_lengths(two_layers(rng), I, {.reverse = true});
}

TEST_CASE("so it is for every cell that has a name, and in both directions of it") {
  std::vector<std::string> names;
  for (const std::string_view name : cell_names()) names.emplace_back(name);
  for (const char* name : {"lstm+1997", "lstm+all-peepholes+norm+projection=2", "gru+zoneout=0.3",
                           "gru+drop-x=0.2+drop-h=0.3", "mgu+learned", "context+decay=0.5"})
    names.emplace_back(name);
  for (const std::string& name : names) {
    CAPTURE(name);
    Rng rng(1);
    AnyCell cell = make_cell(name, I, H, rng);
    cell.eval();
    check_lengths(cell, I, {});
    auto both = both_directions(std::move(cell), make_cell(name, I, H, rng));
    both.eval();
    check_lengths(both, I, {});
  }
}

TEST_CASE("gradients of a padded batch pass the check, of both orders") {
  for_each_cell(2, 2, [](auto cell, auto) {
    const Array x = randoms({3, 3, 2}, 1), lengths = indices_of({1, 3, 0});
    for (const bool reverse : {false, true}) {
      const auto loss = [&](Tape& tape) {
        const UnrollOptions options{.reverse = reverse, .lengths = tape.constant(lengths)};
        const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, 3), options);
        return asymmetric(outputs(cell, states)) + asymmetric(output(cell, last_state(cell, states, options)), 4);
      };
      CHECK(test::first_order_error(cell, loss) < 1e-8);
      CHECK(test::second_order_error(cell, loss) < 1e-7);
    }
  });
}

TEST_CASE("reverse is the reversed sequence") {
  for_each_cell(I, H, [](auto cell, auto) {
    Tape tape;
    const Tensor x = tape.constant(sequence());
    const auto there = unroll(cell, flip(x, 0), cell.zero_state(tape, N));
    const auto back = unroll(cell, x, cell.zero_state(tape, N), {.reverse = true});
    CHECK(distance(flip(outputs(cell, there), 0), outputs(cell, back)) == 0);
    CHECK(distance(last_state(cell, back, {.reverse = true}).h, there.back().h) == 0);
  });
}

TEST_CASE("full lengths change no bit, and every step stands in its scope") {
  for_each_cell(I, H, [](auto cell, auto) {
    Tape tape;
    const Tensor x = tape.constant(sequence()), lengths = tape.constant(indices_of({T, T}));
    const auto plain = unroll(cell, x, cell.zero_state(tape, N));
    const auto masked = unroll(cell, x, cell.zero_state(tape, N), {.lengths = lengths});
    for (std::size_t t = 0; t < plain.size(); ++t) CHECK(distance(plain[t].h, masked[t].h) == 0);
    CHECK(tape.scope_path(tape.node(masked[2].h.index()).scope) == cell.name() + "/t=2");
  });
}

TEST_CASE("a recurrent layer with lengths: zeros in the padding, and each sequence's own last output") {
  Rng a(1), b(1);
  const Recurrent all(GruCell(I, H, a)), last(GruCell(I, H, b), {.return_sequences = false});
  Tape tape;
  const Tensor x = tape.constant(sequence()), lengths = tape.constant(indices_of({1, 3}));
  const Tensor y = all(x, {.lengths = lengths}), z = last(x, {.lengths = lengths});
  CHECK(distance(slice(y, 0, 3, 1), tape.constant(zeros(1, N, H))) == 0);
  CHECK(distance(slice(z, 0, 0, 1), slice(select(y, 0, 0), 0, 0, 1)) == 0);
  CHECK(distance(slice(z, 0, 1, 1), slice(select(y, 0, 2), 0, 1, 1)) == 0);
  const Tensor h = tape.constant(full({N, H}, 0.5));
  CHECK(distance(last(x, {.h = h}, {.lengths = tape.constant(indices_of({0, 0}))}), h) == 0);
  const Tensor back = last(x, {.reverse = true, .lengths = lengths});
  CHECK(distance(slice(back, 0, 0, 1), slice(last(slice(x, 0, 0, 1)), 0, 0, 1)) < 1e-6);
}

TEST_CASE("padding of indices may hold anything") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape;
  const UnrollOptions options{.lengths = tape.constant(indices_of({2, 1}))};
  const auto states = unroll(cell, tape.constant(Array({0, 1, 2, -100}, {2, 2})), cell.zero_state(tape, 2), options);
  const auto same = unroll(cell, tape.constant(Array({0, 1, 2, 2}, {2, 2})), cell.zero_state(tape, 2), options);
  CHECK(distance(outputs(states), outputs(same)) == 0);
}

TEST_CASE("bad lengths and states are named") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto with = [&](const Array& lengths) {
    return unroll(cell, x, cell.zero_state(tape, N), {.lengths = tape.constant(lengths)});
  };
  CHECK_THROWS_WITH_AS(
      with(indices_of({1, 5})),
      "[sequence_mask] the length of sequence 1 is 5: it must be from 0 to 4, the number of steps, in lstm", Error);
  CHECK_THROWS_WITH_AS(
      with(indices_of({-2, 4})),
      "[sequence_mask] the length of sequence 0 is -2: it must be from 0 to 4, the number of steps, in lstm", Error);
  CHECK_THROWS_WITH_AS(with(indices_of({1, 2, 3})),
                       "[clear_padding] takes sequences [T, N, ...] and lengths [N], not (4, 2, 3) and (3), in lstm",
                       Error);
  CHECK_THROWS_WITH_AS(with(full({N}, 2)), "[sequence_mask] input 0 must be indices (i32), not f32 (2), in lstm",
                       Error);
  CHECK_THROWS_WITH_AS(last_state(cell, std::vector<LstmCell::State>()),
                       "last_state: a sequence of no steps has no states", Error);
  const Tensor one = tape.constant(sequence(2).reshaped({4, 1, 3}));
  CHECK_THROWS_WITH_AS(unroll(cell, one, cell.zero_state(tape, 3)),
                       "[unroll] a state (3, 5) of batch 3 does not fit a sequence (4, 1, 3) of batch 1"
                       " (sequences are time-major: [T, N, features]), in lstm",
                       Error);
}
