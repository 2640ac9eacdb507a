#include <doctest/doctest.h>

#include <rewind/models/any_cell.h>

#include "sequence.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("AnyCell is the cell it holds, under the same names") {
  Rng a(1), b(1);
  const LstmCell plain(I, H, a);
  const AnyCell any = make_cell("lstm", I, H, b);
  CHECK(any.name() == "lstm");
  CHECK(any.parameters()[0].name == "W");
  CHECK(any.parameter_count() == plain.parameter_count());
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const Tensor y = outputs(plain, unroll(plain, x, plain.zero_state(tape, N)));
  const AnyCell copy = any.clone();
  for (const AnyCell* cell : {&any, &copy})
    CHECK(distance(outputs(*cell, unroll(*cell, x, cell->zero_state(tape, N))), y) == 0);
  const auto s = any.step(select(x, 0, 0), any.zero_state(tape, N));
  CHECK(distance(any.output(s), select(y, 0, 0)) < 1e-6);
}

TEST_CASE("AnyCell holds cells without a projection, and stacks") {
  Rng rng(1);
  const AnyCell own{UgrnnCell(I, H, rng)}, stack{two_layers(rng)};
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(outputs(own, unroll(own, x, own.zero_state(tape, N))).shape() == Shape{T, N, H});
  CHECK(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))).shape() == Shape{T, N, H + 1});
  CHECK_THROWS_AS(own.clone(), Error);
  std::vector<AnyCell> layers;
  layers.push_back(make_cell("gru", I, H, rng));
  layers.push_back(make_cell("rnn", H, H, rng));
  const Stack<AnyCell> mixed(std::move(layers));
  CHECK(outputs(mixed, unroll(mixed, x, mixed.zero_state(tape, N))).shape() == Shape{T, N, H});
  CHECK(mixed.parameters()[0].name == "layer0.W");
}

TEST_CASE("cells by name") {
  Rng rng(1);
  for (const std::string_view name : cell_names()) {
    CAPTURE(std::string(name));
    const AnyCell cell = make_cell(name, I, H, rng, {.bias = Bias::two});
    Tape tape;
    CHECK(outputs(cell, unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N))).shape() == Shape{T, N, H});
    CHECK(cell.parameter("br").shape() == cell.parameter("b").shape());
  }
  CHECK_THROWS_WITH_AS(make_cell("elman", I, H, rng),
                       "no cell 'elman'; there are: lstm, gru, gru-before, rnn, rnn-relu", Error);
  CHECK_THROWS_WITH_AS(make_cell("lstm", I, 0, rng), "lstm: hidden size must be at least 1, not 0", Error);
}
