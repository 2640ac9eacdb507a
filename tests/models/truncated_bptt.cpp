#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/lstm_cell.h>
#include <rewind/models/stack.h>
#include <rewind/models/truncated_bptt.h>
#include <rewind/ops/reduce.h>

using namespace rw;

namespace {

constexpr Index N = 3, I = 2, H = 4;

Array piece(Index steps, std::uint64_t seed) {
  Rng rng(seed);
  return uniform(rng, {steps, N, I}, -1, 1);
}

}  // namespace

TEST_CASE("chunks give the values of one long run, and gradients that stop at the cut") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const Array first = piece(3, 1), second = piece(2, 2);

  TruncatedBptt bptt(cell, N);
  bptt.unroll(first);
  const auto& states = bptt.unroll(second);
  REQUIRE(states.size() == 2);
  backward(sum(states.back().h));
  const Array truncated = cell.parameter("R").grad();

  Tape tape;
  const auto before = unroll(cell, tape.constant(first), cell.zero_state(tape, N));
  cell.zero_grad();
  const auto after = unroll(cell, tape.constant(second), detach_state(before.back()));
  CHECK(after.back().h.array() == states.back().h.array());
  backward(sum(after.back().h));
  CHECK(cell.parameter("R").grad() == truncated);
}

TEST_CASE("handles of an earlier chunk are stale, so the graph cannot reach back") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N);
  const Tensor old = bptt.unroll(piece(2, 1)).back().h;
  CHECK(old.valid());
  bptt.unroll(piece(2, 2));
  CHECK_FALSE(old.valid());
}

TEST_CASE("reset begins anew, for one stream or for all") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N);
  const auto zero = bptt.carried();
  bptt.unroll(piece(2, 1));
  const auto carried = bptt.carried();
  REQUIRE(carried.size() == 2);
  bptt.reset(1);
  for (std::size_t i = 0; i < 2; ++i)
    for (Index n = 0; n < N; ++n)
      for (Index k = 0; k < H; ++k) CHECK(bptt.carried()[i].at({n, k}) == (n == 1 ? 0.0 : carried[i].at({n, k})));
  bptt.reset();
  CHECK(bptt.carried() == zero);
  CHECK_THROWS_WITH_AS(bptt.reset(3), "truncated bptt: there is no stream 3 in a batch of 3", Error);
}

TEST_CASE("the carried state can be stored and set") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt a(cell, N), b(cell, N);
  a.unroll(piece(2, 1));
  b.set_carried(a.carried());
  const Array x = piece(2, 2);
  CHECK(a.unroll(x).back().h.array() == b.unroll(x).back().h.array());
  CHECK_THROWS_AS(b.set_carried({}), Error);
  CHECK_THROWS_WITH_AS(b.set_carried({zeros(N, H), zeros(N, H + 1)}),
                       "tensor 1 of a saved state is f32 (3, 5); the cell's is f32 (3, 4)", Error);
}

TEST_CASE("a chunk that throws leaves the carried state as it was") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N);
  bptt.unroll(piece(2, 1));
  const auto carried = bptt.carried();
  CHECK_THROWS_AS(bptt.unroll(zeros(2, N, I + 1)), Error);
  CHECK(bptt.carried() == carried);
}

TEST_CASE("chunks of another form return what the function returns beside the state") {
  Rng rng(1);
  std::vector<LstmCell> layers;
  layers.emplace_back(I, H, rng);
  layers.emplace_back(H, H, rng);
  const Stack<LstmCell> stack(std::move(layers));
  TruncatedBptt bptt(stack, N, {.dtype = DType::f64});
  CHECK(bptt.tape().dtype() == DType::f64);
  const double loss = bptt.chunk([&](Tape& tape, const Stack<LstmCell>::State& state) {
    const auto states = unroll(stack, tape.constant(piece(2, 1)), state);
    const Tensor l = sum(outputs(stack, states));
    backward(l);
    return std::pair(l.item(), states.back());
  });
  CHECK(loss != 0);
  CHECK(bptt.carried().size() == 4);
  CHECK(stack.parameter("layer0.W").grad().at({0, 0}) != 0);
}
