#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/ops/reduce.h>

#include "checkpoint_checks.h"

using namespace rw;
using namespace rw::test;

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
                       "checkpointed bptt: a sequence for a batch of 2 is [T, 2, features], or [T, 2] of indices; not "
                       "(23, 3, 3)",
                       Error);
  CHECK_THROWS_AS(bptt.backward(zeros(L, N, I + 1), loss), Error);
  CHECK_THROWS_AS(bptt.set_start({zeros(N, H)}), Error);
  CHECK_THROWS_AS(bptt.set_start({zeros(N, H), zeros(N, H + 1)}), Error);
  CHECK_THROWS_AS(bptt.backward(sequence(L), [](const LstmCell::State& last) { return last.h; }), Error);
  CHECK(cell.parameter("R").grad() == Array(cell.parameter("R").shape()));
  CheckpointOptions inputs{.states = 2, .input_gradient = true};
  CHECK_THROWS_WITH_AS(Bptt(cell, N, inputs).backward(Array(std::vector<std::int32_t>(L * N), {L, N}), loss),
                       "checkpointed bptt: indices have no gradient: leave input_gradient off", Error);
  const auto with = [&](const Array& lengths) { bptt.backward(sequence(L), loss, {.lengths = lengths}); };
  CHECK_THROWS_WITH_AS(with(Array({1, 2, 3}, {3})), "checkpointed bptt: lengths must be i32 (2), not i32 (3)", Error);
  CHECK_THROWS_WITH_AS(with(full({2}, 1)), "checkpointed bptt: lengths must be i32 (2), not f32 (2)", Error);
  CHECK_THROWS_WITH_AS(with(Array({1, 24}, {2})),
                       "[lengths_within] the length of sequence 1 is 24: it must be from 0 to 23, the number of steps",
                       Error);
  CHECK_THROWS_WITH_AS(with(Array({-1, 3}, {2})),
                       "[lengths_within] the length of sequence 0 is -1: it must be from 0 to 23, the number of steps",
                       Error);
  CHECK(cell.parameter("R").grad() == Array(cell.parameter("R").shape()));
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
