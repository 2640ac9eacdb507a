#pragma once

#include <utility>

#include <rewind/models/cells/wrapper.h>
#include <rewind/ops/clip_gradient.h>

namespace rw {

/// A cell in which the gradient is limited at every time step (Graves, 2013): each element of the gradient of each
/// state that a step gives, from the loss and from the next step together, to [-limit, limit]. Values are the cell's.
///
///     Clipped cell(LstmCell(in, hidden, rng), 1.0);
template <Cell C>
class Clipped : public CellWrapper<Clipped<C>, C> {
 public:
  using State = typename C::State;

  /// Throws Error unless the limit is above 0.
  Clipped(C cell, double limit) : CellWrapper<Clipped, C>(std::move(cell)), limit_(limit) {
    if (!(limit > 0))
      throw Error(this->name() + ": gradients are limited to " + std::to_string(limit) + ": it must be above 0");
  }

  /// Elements of gradients lie in [-limit, limit].
  double limit() const { return limit_; }
  Clipped clone() const requires requires(const C& c) { c.clone(); }
  { return cloned(Clipped(this->cell_.clone(), limit_), *this); }

 private:
  friend CellWrapper<Clipped, C>;

  State finished(const State&, State after) const {
    return map_state(std::move(after), [&](Tensor t) { return is_real(t.dtype()) ? clip_gradient(t, limit_) : t; });
  }

  double limit_;
};

}  // namespace rw
