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

  State step(Tensor x, const State& s) const requires detail::Steps<C> { return whole_step(x, s, 0); }
  State step(Tensor x, const State& s, Index t) const requires TimedCell<C> { return whole_step(x, s, t); }
  auto project(Tensor x) const requires ProjectedCell<C> { return cell_.project(self().entering(x)); }
  State step_projected(const StepInput<C>& in, const State& s) const requires(ProjectedCell<C>&& detail::Steps<C>) {
    return step_seeing(in, s, seen_by_matrices(s));
  }
  State step_projected(const StepInput<C>& in, const State& s, Index t) const
      requires(ProjectedCell<C>&& TimedCell<C>) {
    return step_seeing(in, s, seen_by_matrices(s), t);
  }
  State step_seeing(const StepInput<C>& in, const State& s, Tensor seen, Index t = 0) const {
    return self().finished(s, rw::step_seeing(cell_, entered(in), s, self().seen(seen), t));
  }
  auto step_gates(const StepInput<C>& in, const State& s) const requires CellWithGates<C> {
    return step_gates(in, s, seen_by_matrices(s));
  }
  auto step_gates(const StepInput<C>& in, const State& s, Tensor seen) const requires CellWithGates<C> {
    auto step = step_gates_seeing(cell_, entered(in), s, self().seen(seen));
    step.state = self().finished(s, step.state);
    return step;
  }
  /// The cell's own: see models/cells/gates.h.
  Tensor seen_by_matrices(const State& s) const { return rw::seen_by_matrices(cell_, s); }
  /// The cell's own: see models/cells/gates.h.
  bool tells_what_matrices_see() const { return rw::tells_what_matrices_see(cell_); }

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
  State whole_step(Tensor x, const State& s, Index t) const {
    if constexpr (ProjectedCell<C>)
      return step_seeing(project(x), s, seen_by_matrices(s), t);
    else
      return step_seeing(x, s, seen_by_matrices(s), t);
  }
  /// Where the cell projects, the input entered there.
  StepInput<C> entered(const StepInput<C>& in) const {
    if constexpr (ProjectedCell<C>)
      return in;
    else
      return self().entering(in);
  }
};

}  // namespace rw
