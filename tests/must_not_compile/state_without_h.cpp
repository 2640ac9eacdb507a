// What has no h says what its output is.
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

using namespace rw;

struct MyCell {
  struct State {
    Tensor memory;
  };
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 4})}; }
  State step(Tensor x, State s) const { return {tanh(x + s.memory)}; }
#ifndef MUST_NOT_COMPILE
  Tensor output(const State& s) const { return s.memory; }
#endif
};

void run(const MyCell& cell, Tensor x) {
  const auto states = unroll(cell, x, MyCell::State());
  const Tensor h = outputs(cell, states);
}
