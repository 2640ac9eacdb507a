#include <doctest/doctest.h>

#include <rewind/models/sequence/recurrent.h>

#include "../sequence.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("all outputs, or the last one") {
  Rng a(1), b(1);
  const Recurrent all(LstmCell(I, H, a)), last(LstmCell(I, H, b), {.return_sequences = false});
  CHECK(all.name() == "lstm");
  CHECK(all.parameters()[0].name == "W");
  Tape tape;
  const Tensor x = tape.constant(sequence()), y = all(x);
  CHECK(y.shape() == Shape{T, N, H});
  CHECK(distance(y, outputs(unroll(all.cell(), x, all.cell().zero_state(tape, N)))) == 0);
  CHECK(last(x).shape() == Shape{N, H});
  CHECK(distance(last(x), select(y, 0, -1)) == 0);
  const Tensor h = tape.constant(full({N, H}, 0.5));
  CHECK(distance(last(x, {.h = h, .c = h}), last(x)) > 0.01);
  CHECK_THROWS_AS(all(tape.constant(zeros(3))), Error);
}

TEST_CASE("of no steps all outputs are empty, and the last one is that of the state before them") {
  Rng a(1), b(1);
  const Recurrent all(LstmCell(I, H, a)), last(LstmCell(I, H, b), {.return_sequences = false});
  Tape tape;
  const Tensor none = tape.constant(sequence(0)), h = tape.constant(full({N, H}, 0.5));
  const UnrollOptions padded{.lengths = tape.constant(Array(Shape{N}, DType::i32))};
  for (const UnrollOptions& run : {UnrollOptions(), padded}) {
    CHECK(all(none, run).shape() == Shape{0, N, H});
    CHECK(last(none, run).array() == zeros(N, H));
    CHECK(last(none, {.h = h, .c = h}, run).array() == full({N, H}, 0.5));
  }
}

TEST_CASE("a stack as a layer, and its clone") {
  Rng rng(1);
  Recurrent layers(two_layers(rng, 0.5), {.return_sequences = false});
  layers.eval();
  CHECK_FALSE(layers.cell().training());
  const auto copy = layers.clone();
  Tape tape;
  const Tensor x = tape.constant(sequence());
  layers.set_name("encoder");
  const Tensor y = layers(x);
  CHECK(y.shape() == Shape{N, H + 1});
  CHECK(tape.scope_path(tape.node(y.index()).scope) == "encoder/stack/layer1/t=3");
  CHECK(distance(copy(x), layers(x)) == 0);
}
