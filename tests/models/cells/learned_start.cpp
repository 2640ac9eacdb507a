#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/learned_start.h>

#include "../sequence.h"
#include "checks.h"

using namespace rw;
using namespace rw::test;

namespace {

// A state whose tensor has no axis for the batch.
class Counter : public Module {
 public:
  struct State {
    Tensor h;
  };
  State zero_state(Tape& tape, Index) const { return {tape.constant(0.0)}; }
  State step(Tensor, const State& s) const { return {s.h + 1}; }
};

}  // namespace

TEST_CASE("learned start: parameters in the place of the cell's constants, with which they start") {
  Rng rng(1);
  const LearnedStart cell(LstmCell(I, H, rng, {.projection = 2}));
  CHECK(cell.parameter("start0").shape() == Shape{2});
  CHECK(cell.parameter("start1").shape() == Shape{H});
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(unroll(cell, x, cell.zero_state(tape, N)).back().h.array() ==
        unroll(cell.cell(), x, cell.cell().zero_state(tape, N)).back().h.array());
  cell.parameter("start1").set(full({H}, 0.5));
  tape.clear();
  CHECK(cell.zero_state(tape, 3).c.array() == full({3, H}, 0.5));
  const auto copy = cell.clone();
  CHECK(copy.parameter("start1").value() == full({H}, 0.5));
}

TEST_CASE("learned start: derivatives reach it, the sum over the batch") {
  Rng rng(1);
  const LearnedStart cell(GruCell(I, H, rng));
  randomise(cell);
  const auto loss = [&](Tape& tape) {
    return asymmetric(outputs(unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N))));
  };
  CHECK(first_order_error(cell, loss) < 1e-8);
  CHECK(second_order_error(cell, loss) < 1e-7);
  for (const double g : cell.parameter("start0").grad().to_vector<double>()) CHECK(g != 0);
}

TEST_CASE("learned start: around a stack, and within one; a state without batch is refused") {
  Rng rng(1);
  const LearnedStart around(two_layers(rng));
  CHECK(around.parameter("start3").shape() == Shape{H + 1});
  std::vector<LearnedStart<GruCell>> layers;
  layers.emplace_back(GruCell(I, H, rng));
  layers.emplace_back(GruCell(H, H, rng));
  const Stack<LearnedStart<GruCell>> within(std::move(layers));
  CHECK(within.parameter("layer1.start0").shape() == Shape{H});
  CHECK_THROWS_WITH_AS(
      LearnedStart{Counter()},
      "learned start: a state for one sequence has a tensor (): the batch, here 1, must be its first axis", Error);
}

TEST_CASE("learned start: truncated back-propagation learns it in the first chunk, and resets to what was learned") {
  Rng rng(1);
  const LearnedStart cell(GruCell(I, H, rng));
  TruncatedBptt bptt(cell, N);
  Parameter& start = cell.parameter("start0");
  const auto learn = [&] {
    cell.zero_grad();
    backward(asymmetric(outputs(bptt.unroll(sequence()))));
    double most = 0;
    for (const double g : start.grad().to_vector<double>()) most = std::max(most, std::abs(g));
    return most;
  };
  CHECK(learn() > 0);
  CHECK(learn() == 0);  // the second chunk begins where the first ended
  start.set(full({H}, 0.5));
  const SavedState before = bptt.carried();
  bptt.reset(1);
  CHECK(bptt.carried()[0].at({0, 0}) == before[0].at({0, 0}));
  CHECK(bptt.carried()[0].at({1, 0}) == 0.5);
  bptt.reset();
  CHECK(bptt.carried()[0] == full({N, H}, 0.5));
  CHECK(learn() > 0);
  bptt.set_carried(before);
  CHECK(learn() == 0);
}

TEST_CASE("learned start: a window learns it for as long as it reaches back to the start") {
  Rng rng(1);
  const LearnedStart cell(GruCell(I, H, rng));
  TruncatedBptt bptt(cell, N, BpttWindow{.k1 = 2, .k2 = 4});
  const auto is_learned = [&] {
    cell.zero_grad();
    backward(asymmetric(bptt.unroll(sequence(2)).back().h));
    for (const double g : cell.parameter("start0").grad().to_vector<double>())
      if (g != 0) return true;
    return false;
  };
  CHECK(is_learned());
  CHECK(is_learned());
  CHECK_FALSE(is_learned());
  bptt.reset();
  CHECK(is_learned());
}
