#pragma once

#include <string>
#include <utility>
#include <vector>

#include <rewind/models/cells/cell.h>
#include <rewind/models/sequence/unroll.h>

namespace rw {

namespace detail {

/// A cell that leaves the gates of its last step in a place where they can be taken from.
template <CellWithGates C>
struct CellThatShowsGates {
  using State = typename C::State;

  const C& cell;
  typename C::Gates& last;

  std::string name() const { return scope_name(cell); }
  State zero_state(Tape& tape, Index batch) const { return cell.zero_state(tape, batch); }
  Tensor project(Tensor x) const requires ProjectedCell<C> { return cell.project(x); }
  State step_projected(Tensor xw, const State& s) const requires ProjectedCell<C> { return shown(xw, s); }
  State step(Tensor x, const State& s) const {
    if constexpr (ProjectedCell<C>) x = cell.project(x);
    return shown(x, s);
  }
  State shown(Tensor x, const State& s) const {
    auto step = cell.step_gates(x, s);
    last = step.gates;
    return step.state;
  }
};

}  // namespace detail

/// `unroll`, giving the gates of each step beside its state, which records nothing more:
///
///     const auto steps = unroll_gates(lstm, x, lstm.zero_state(tape, batch));
///     steps[3].state.c;  steps[3].gates.f.value();                       // Tensors, and so views of the tape's memory
///
/// In the padding of a sequence the state stays, and gates are what they would be for an input of 0. Throws Error as
/// `unroll` does.
template <CellWithGates C>
std::vector<StepWithGates<typename C::State, typename C::Gates>> unroll_gates(const C& cell, Tensor x,
                                                                              const typename C::State& state,
                                                                              const UnrollOptions& options = {}) {
  detail::check_sequence(x);
  std::vector<StepWithGates<typename C::State, typename C::Gates>> steps(static_cast<std::size_t>(x.size(0)));
  typename C::Gates gates;
  unroll_each(detail::CellThatShowsGates<C>{cell, gates}, x, state, options, [&](Index t, const typename C::State& s) {
    steps[static_cast<std::size_t>(t)] = {s, gates};
  });
  return steps;
}

/// The first tensor of a state: by custom the one that the cell's matrices see.
template <class State>
Tensor first_tensor(const State& s) {
  Tensor first;
  for_each_tensor(s, [&, found = false](const Tensor& t) mutable {
    if (!std::exchange(found, true)) first = t;
  });
  return first;
}
template <class State>
State with_first_tensor(State s, Tensor first) {
  for_each_tensor(s, [&, found = false](Tensor& t) mutable {
    if (!std::exchange(found, true)) t = first;
  });
  return s;
}

/// A step (of a ProjectedCell, from its projected input) in which the recurrent matrices see `seen` and everything else
/// in the cell sees its state as it is: what recurrent dropout is made of. That takes a member `step_seeing(x, state,
/// seen)` or `step_gates(x, state, seen)`, as the library's cells have it; in a cell without, `seen` is the state's
/// first tensor for everything.
template <Cell C>
typename C::State step_seeing(const C& cell, Tensor x, const typename C::State& s, Tensor seen) {
  if constexpr (requires { cell.step_seeing(x, s, seen); })
    return cell.step_seeing(x, s, seen);
  else if constexpr (requires { cell.step_gates(x, s, seen); })
    return cell.step_gates(x, s, seen).state;
  else if constexpr (ProjectedCell<C>)
    return cell.step_projected(x, with_first_tensor(s, seen));
  else
    return cell.step(x, with_first_tensor(s, seen));
}

/// The same with the gates.
template <CellWithGates C>
StepWithGates<typename C::State, typename C::Gates> step_gates_seeing(const C& cell, Tensor x,
                                                                      const typename C::State& s, Tensor seen) {
  if constexpr (requires { cell.step_gates(x, s, seen); })
    return cell.step_gates(x, s, seen);
  else
    return cell.step_gates(x, with_first_tensor(s, seen));
}

}  // namespace rw
