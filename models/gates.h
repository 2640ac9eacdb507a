#pragma once

#include <string>
#include <utility>
#include <vector>

#include <rewind/models/cell.h>
#include <rewind/models/unroll.h>

namespace rw {

namespace detail {

/// A cell whose state holds the gates that made it, for as long as it is unrolled.
template <CellWithGates C>
struct CellThatKeepsGates {
  using State = StepWithGates<typename C::State, typename C::Gates>;

  const C& cell;

  std::string name() const { return scope_name(cell); }
  State zero_state(Tape& tape, Index batch) const { return {cell.zero_state(tape, batch), {}}; }
  Tensor project(Tensor x) const requires ProjectedCell<C> { return cell.project(x); }
  State step_projected(Tensor xw, const State& s) const requires ProjectedCell<C> {
    return cell.step_gates(xw, s.state);
  }
  State step(Tensor x, const State& s) const {
    if constexpr (ProjectedCell<C>)
      return cell.step_gates(cell.project(x), s.state);
    else
      return cell.step_gates(x, s.state);
  }
};

}  // namespace detail

/// `unroll`, giving the gates of each step beside its state, which records nothing more:
///
///     const auto steps = unroll_gates(lstm, x, lstm.zero_state(tape, batch));
///     steps[3].state.c;  steps[3].gates.f.value();                       // Tensors, and so views of the tape's memory
///
/// Throws Error as `unroll` does.
template <CellWithGates C>
std::vector<StepWithGates<typename C::State, typename C::Gates>> unroll_gates(const C& cell, Tensor x,
                                                                              const typename C::State& state) {
  std::vector<StepWithGates<typename C::State, typename C::Gates>> steps;
  unroll_each(detail::CellThatKeepsGates<C>{cell}, x, {state, {}}, [&](Index, const auto& s) { steps.push_back(s); });
  return steps;
}

/// A step (of a ProjectedCell, from its projected input) in which the recurrent matrices see `seen`, and all else in
/// the cell its state as it is: what recurrent dropout and the like are made of. The cell has a member
/// `step_gates(x, state, seen)`, where `seen` stands for the first tensor of the state; in one that has not, `seen` is
/// the first tensor for all.
template <Cell C>
typename C::State step_seeing(const C& cell, Tensor x, typename C::State s, Tensor seen) {
  if constexpr (requires { cell.step_gates(x, s, seen); }) {
    return cell.step_gates(x, s, seen).state;
  } else {
    bool first = true;
    for_each_tensor(s, [&](Tensor& t) {
      if (std::exchange(first, false)) t = seen;
    });
    if constexpr (ProjectedCell<C>)
      return cell.step_projected(x, s);
    else
      return cell.step(x, s);
  }
}

}  // namespace rw
