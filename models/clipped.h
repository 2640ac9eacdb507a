#pragma once

#include <utility>

#include <rewind/models/cell.h>
#include <rewind/ops/clip_gradient.h>

namespace rw {

/// A cell in which the gradient is limited at every time step (Graves, 2013): each element of the gradient of each
/// state that a step gives, from the loss and from the next step together, to [-limit, limit]. Values are the cell's.
/// It is a cell itself: `unroll`, stacks and checkpointing take it; parameters keep their names.
///
///     Clipped<LstmCell> cell(LstmCell(in, hidden, rng), 1.0);
template <Cell C>
requires std::derived_from<C, Module>
class Clipped : public Module {
 public:
  using State = typename C::State;

  /// Throws Error unless the limit is above 0.
  Clipped(C cell, double limit) : Module(cell.name()), limit_(limit), cell_(wrapped(std::move(cell))) {
    if (!(limit > 0))
      throw Error(name() + ": gradients are limited to " + std::to_string(limit) + ": it must be above 0");
  }

  const C& cell() const { return cell_; }
  double limit() const { return limit_; }

  State empty_state() const { return rw::empty_state(cell_); }
  State zero_state(Tape& tape, Index batch) const { return cell_.zero_state(tape, batch); }
  State step(Tensor x, State s) const { return clip(cell_.step(x, std::move(s))); }
  Tensor output(const State& s) const { return rw::output(cell_, s); }

  Tensor project(Tensor x) const requires ProjectedCell<C> { return cell_.project(x); }
  State step_projected(Tensor xw, State s) const requires ProjectedCell<C> {
    return clip(cell_.step_projected(xw, std::move(s)));
  }

  Clipped clone() const { return cloned(Clipped(cell_.clone(), limit_), *this); }

 private:
  State clip(State s) const {
    return map_state(std::move(s), [&](Tensor t) { return is_real(t.dtype()) ? clip_gradient(t, limit_) : t; });
  }

  double limit_;
  C& cell_;
};

}  // namespace rw
