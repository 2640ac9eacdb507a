#include <doctest/doctest.h>

#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/recurrent.h>

#include "../layers.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr auto sum_of = BidirectionalOptions{.merge = BidirectionalOptions::Merge::sum};

}  // namespace

TEST_CASE("both directions side by side, or added") {
  for_each_cell(I, H, [](auto forward, auto backward) {
    Tape tape;
    const Tensor x = tape.constant(sequence());
    const Tensor there = outputs(forward, unroll(forward, x, forward.zero_state(tape, N)));
    const Tensor back = flip(outputs(backward, unroll(backward, flip(x, 0), backward.zero_state(tape, N))), 0);
    const auto both = both_directions(std::move(forward), std::move(backward));
    const auto states = unroll(both, x, both.zero_state(tape, N));
    const Tensor y = outputs(both, states);
    CHECK(y.shape() == Shape{T, N, 2 * H});
    CHECK(distance(slice(y, 2, 0, H), there) == 0);
    CHECK(distance(slice(y, 2, H, H), back) == 0);
    CHECK(distance(output(both, states[1]), select(y, 0, 1)) == 0);
    // The last state of the backward cell is the one at position 0.
    const auto last = last_state(both, states);
    CHECK(distance(last.forward.h, select(there, 0, -1)) == 0);
    CHECK(distance(last.backward.h, select(back, 0, 0)) == 0);
    // In reverse the cells change directions.
    const auto reversed = unroll(both, x, both.zero_state(tape, N), {.reverse = true});
    CHECK(distance(last_state(both, reversed, {.reverse = true}).backward.h, reversed.back().backward.h) == 0);
    CHECK(distance(reversed.back().backward.h,
                   unroll(both.backward(), x, both.backward().zero_state(tape, N)).back().h) == 0);
  });
  Rng rng(1);
  const auto added = both_directions(LstmCell(I, H, rng), LstmCell(I, H, rng), sum_of);
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto states = unroll(added, x, added.zero_state(tape, N));
  CHECK(distance(outputs(added, states), outputs(unroll(added.forward(), x, added.forward().zero_state(tape, N))) +
                                             outputs(unroll(added.backward(), x, added.backward().zero_state(tape, N),
                                                            {.reverse = true}))) == 0);
  CHECK(added.parameters()[0].name == "forward.W");
  CHECK(added.parameters()[3].name == "backward.W");
  CHECK(tape.scope_path(tape.node(states[1].backward.h.index()).scope) == "bidirectional/backward/t=1");
}

TEST_CASE("a padded batch is its sequences alone, in layers too") {
  for_each_cell(I, H, [](auto forward, auto backward) {
    using C = decltype(forward);
    check_lengths(both_directions(std::move(forward), std::move(backward)), I, {});
    check_lengths(two_bidirectional<C>(I, H), I, {});
    check_lengths(two_bidirectional<C>(I, H), I, {.reverse = true});
  });
  Rng rng(1);
  check_lengths(both_directions(GruCell(I, H, rng), GruCell(I, H, rng), sum_of), I, {});
  check_lengths(Bidirectional<LstmCell, GruCell>(LstmCell(I, 2, rng), GruCell(I, 3, rng)), I, {});
}

TEST_CASE("gradients of both orders, with unequal lengths") {
  const Array x = randoms({2, 2, 2}, 1), lengths = indices_of({1, 2});
  const auto check = [&](const auto& layer) {
    const auto loss = [&](Tape& tape) {
      const UnrollOptions options{.lengths = tape.constant(lengths)};
      const auto states = unroll(layer, tape.constant(x), layer.zero_state(tape, 2), options);
      return asymmetric(outputs(layer, states)) + asymmetric(output(layer, last_state(layer, states, options)), 4);
    };
    CHECK(test::first_order_error(layer, loss) < 1e-8);
    CHECK(test::second_order_error(layer, loss) < 1e-7);
  };
  for_each_cell(2, 2,
                [&](auto forward, auto backward) { check(both_directions(std::move(forward), std::move(backward))); });
  Rng rng(1);
  check(both_directions(UgrnnCell(2, 2, rng), UgrnnCell(2, 2, rng), sum_of));
  check(two_bidirectional<RnnCell>(2, 2));
}

TEST_CASE("as a layer it gives the last output of both directions, and its clone does the same") {
  Rng rng(1);
  const Recurrent last(two_bidirectional<LstmCell>(I, H), {.return_sequences = false});
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const Tensor y = last(x);
  CHECK(y.shape() == Shape{N, 2 * H});
  const auto states = unroll(last.cell(), x, last.cell().zero_state(tape, N));
  CHECK(distance(slice(y, 1, 0, H), states.back().layers[1].forward.h) == 0);
  CHECK(distance(slice(y, 1, H, H), states.front().layers[1].backward.h) == 0);
  CHECK(distance(last.clone()(x), y) == 0);
}

TEST_CASE("what does not fit is named") {
  Rng rng(1);
  const auto uneven = both_directions(LstmCell(I, H, rng), LstmCell(I, H + 1, rng), sum_of);
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const auto states = unroll(uneven, x, uneven.zero_state(tape, N));
  CHECK_THROWS_WITH_AS(outputs(uneven, states),
                       "[bidirectional] cannot add outputs of different widths: (4, 2, 5) and (4, 2, 6)", Error);
  CHECK_THROWS_WITH_AS(unroll(uneven, x, uneven.zero_state(tape, 3)),
                       "[unroll] a state (3, 5) of batch 3 does not fit a sequence (4, 2, 3) of batch 2"
                       " (sequences are time-major: [T, N, features]), in bidirectional/forward",
                       Error);
  CHECK_THROWS_AS(unroll(uneven, tape.constant(zeros(3)), uneven.zero_state(tape, 3)), Error);
}
