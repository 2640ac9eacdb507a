// A State holds Tensors: an int in it is refused in one line.
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

using namespace rw;

struct MyCell {
  struct State {
    Tensor h;
#ifdef MUST_NOT_COMPILE
    int steps;
#else
    Tensor steps;
#endif
  };
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 4}), {}}; }
  State step(Tensor x, State s) const { return {tanh(x + s.h), s.steps}; }
};

void run(const MyCell& cell, Tensor x) {
  const auto states = unroll(cell, x, MyCell::State());
  const Tensor h = outputs(cell, states);
}
