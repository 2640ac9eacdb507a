// A cell without the state before its first step is told so in one line.
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

using namespace rw;

struct MyCell {
  struct State {
    Tensor h;
  };
#ifndef MUST_NOT_COMPILE
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 4})}; }
#endif
  State step(Tensor x, State s) const { return {tanh(x + s.h)}; }
};

void run(const MyCell& cell, Tensor x) {
  const auto states = unroll(cell, x, MyCell::State());
  const Tensor h = outputs(cell, states);
}
