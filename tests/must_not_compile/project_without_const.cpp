// A projection that lacks const would be left out in silence; it is refused in one line.
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
  Tensor project(Tensor x) { return 2 * x; }
#else
  Tensor project(Tensor x) const { return 2 * x; }
#endif
  State step_projected(Tensor xw, State s) const { return {tanh(xw + s.h)}; }
  State step(Tensor x, State s) const { return {tanh(2 * x + s.h)}; }
};

void run(const MyCell& cell, Tensor x) { unroll(cell, x, MyCell::State()); }
