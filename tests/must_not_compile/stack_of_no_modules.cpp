// The layers of a Stack are Modules; what is none is told so in one line.
#include <rewind/models/sequence/stack.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

using namespace rw;

#ifdef MUST_NOT_COMPILE
struct MyCell {
#else
struct MyCell : Module {
#endif
  struct State {
    Tensor h;
  };
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 4})}; }
  State step(Tensor x, State s) const { return {tanh(x + s.h)}; }
};

void stack() { const Stack<MyCell> layers({MyCell(), MyCell()}); }
