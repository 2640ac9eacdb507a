#include <doctest/doctest.h>

#include <rewind/models/sequence/readout.h>

#include "../sequence.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("a linear layer on the outputs of all steps, or of the last one") {
  Rng a(1), b(1);
  const Readout all{LstmCell(I, H, a), Linear(H, 2, a)};
  const Readout last{LstmCell(I, H, b), Linear(H, 2, b), {.return_sequences = false}};
  CHECK(all.parameters().front().name == "cell.W");
  CHECK(all.parameters().back().name == "head.b");
  Tape tape;
  const Tensor x = tape.constant(sequence()), y = all(x);
  CHECK(y.shape() == Shape{T, N, 2});
  CHECK(tape.scope_path(tape.node(y.index()).scope) == "head");
  CHECK(distance(y, all.head()(outputs(unroll(all.cell(), x, all.cell().zero_state(tape, N))))) == 0);
  CHECK(last(x).shape() == Shape{N, 2});
  CHECK(distance(last(x), select(y, 0, -1)) < 1e-6);
  CHECK(distance(all.clone()(x), y) == 0);
}
