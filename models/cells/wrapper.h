#pragma once

#include <concepts>
#include <span>
#include <string_view>
#include <utility>

#include <rewind/models/cells/cell.h>
#include <rewind/models/cells/gates.h>

namespace rw {

namespace detail {

template <class C>
struct GatesOf {};
template <CellWithGates C>
struct GatesOf<C> {
  using Gates = typename C::Gates;
};

}  // namespace detail

/// What wraps any cell and changes its steps or the state it begins with. `Self`, the wrapper, derives from this and
/// has of these hooks those in which it differs:
///
///     Tensor entering(Tensor x) const                            the input, [N, in] or [T, N, in]
///     Tensor seen(Tensor h) const                                what the recurrent matrices see (see step_seeing)
///     State finished(const State& before, State after) const     the new state
///     State zero_state(Tape&, Index batch) const
///
/// Parameters and the name are the cell's. The wrapper is a cell, with gates if the cell has them, so it can be wrapped
/// again, stacked, unrolled and erased (AnyCell).
template <class Self, Cell C>
requires std::derived_from<C, Module>
class CellWrapper : public Module, public detail::GatesOf<C> {
 public:
  using State = typename C::State;

  /// The cell within.
  const C& cell() const { return cell_; }

  State empty_state() const { return rw::empty_state(cell_); }
  State zero_state(Tape& tape, Index batch) const { return cell_.zero_state(tape, batch); }
  Tensor output(const State& s) const { return rw::output(cell_, s); }
  std::span<const std::string_view> gate_names() const { return rw::gate_names(cell_); }

  State step(Tensor x, const State& s) const {
    if constexpr (ProjectedCell<C>) x = project(x);
    return step_seeing(x, s, first_tensor(s));
  }
  Tensor project(Tensor x) const requires ProjectedCell<C> { return cell_.project(self().entering(x)); }
  State step_projected(Tensor xw, const State& s) const requires ProjectedCell<C> {
    return step_seeing(xw, s, first_tensor(s));
  }
  State step_seeing(Tensor x, const State& s, Tensor seen) const {
    return self().finished(s, rw::step_seeing(cell_, entered(x), s, self().seen(seen)));
  }
  auto step_gates(Tensor x, const State& s) const requires CellWithGates<C> {
    return step_gates(x, s, first_tensor(s));
  }
  auto step_gates(Tensor x, const State& s, Tensor seen) const requires CellWithGates<C> {
    auto step = step_gates_seeing(cell_, entered(x), s, self().seen(seen));
    step.state = self().finished(s, step.state);
    return step;
  }

 protected:
  /// Around this cell.
  explicit CellWrapper(C cell) : Module(cell.name()), cell_(wrapped(std::move(cell))) {}

  /// The default hook: as it is.
  Tensor entering(Tensor x) const { return x; }
  /// The default hook: as it is.
  Tensor seen(Tensor h) const { return h; }
  /// The default hook: as it is.
  State finished(const State&, State after) const { return after; }

  C& cell_;

 private:
  const Self& self() const { return static_cast<const Self&>(*this); }
  /// Where the cell projects, the input entered there.
  Tensor entered(Tensor x) const {
    if constexpr (ProjectedCell<C>)
      return x;
    else
      return self().entering(x);
  }
};

}  // namespace rw
