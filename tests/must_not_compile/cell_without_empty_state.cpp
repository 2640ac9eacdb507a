// A State with a vector does not say how many tensors it has: its cell must, or what copies states would reach beyond.
#include <vector>

#include <rewind/models/cells/any_cell.h>

struct Pair : rw::Module {
  struct State {
    std::vector<rw::Tensor> parts;
  };
  State zero_state(rw::Tape& tape, rw::Index n) const {
    return {{tape.constant(0.0, {n, 2}), tape.constant(0.0, {n, 2})}};
  }
  State step(rw::Tensor, State s) const { return s; }
  rw::Tensor output(const State& s) const { return s.parts[1]; }
#ifndef MUST_NOT_COMPILE
  State empty_state() const { return {std::vector<rw::Tensor>(2)}; }
#endif
};

rw::AnyCell any(Pair cell) { return rw::AnyCell(std::move(cell)); }
