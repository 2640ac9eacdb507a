// A step gives a State, and no Tensor.
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

using namespace rw;

struct MyCell {
  struct State {
    Tensor h;
  };
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 4})}; }
#ifdef MUST_NOT_COMPILE
  Tensor step(Tensor x, State s) const { return tanh(x + s.h); }
#else
  State step(Tensor x, State s) const { return {tanh(x + s.h)}; }
#endif
};

void run(const MyCell& cell, Tensor x) {
  const auto states = unroll(cell, x, MyCell::State());
  const Tensor h = outputs(cell, states);
}
