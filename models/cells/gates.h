#pragma once

#include <concepts>
#include <ranges>
#include <string>
#include <tuple>
#include <type_traits>
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
  auto project(Tensor x) const requires ProjectedCell<C> { return cell.project(x); }
  State step_projected(const StepInput<C>& in, const State& s) const requires ProjectedCell<C> { return shown(in, s); }
  State step(Tensor x, const State& s) const { return shown(step_input(cell, x), s); }
  State shown(const StepInput<C>& in, const State& s) const {
    auto step = cell.step_gates(in, s);
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

namespace detail {

/// Whether a State is one Tensor, alone or in structs.
template <class State>
constexpr bool is_one_tensor() {
  if constexpr (std::is_same_v<State, Tensor>)
    return true;
  else if constexpr (std::ranges::range<State> || !std::is_aggregate_v<State>)
    return false;
  else if constexpr (count_fields<State>() == 1)
    return is_one_tensor<std::remove_cvref_t<std::tuple_element_t<0, decltype(fields(std::declval<State&>()))>>>();
  else
    return false;
}

template <class State>
State with_h(State s, Tensor h) {
  at_h(s, [&](Tensor& t) { t = h; });
  return s;
}

}  // namespace detail

/// The tensor of a state that the cell's matrices see, as far as it can be told: h, or the first one.
template <Cell C>
Tensor seen_by_matrices(const C& cell, const typename C::State& s) {
  if constexpr (requires { cell.seen_by_matrices(s); }) {
    return cell.seen_by_matrices(s);
  } else {
    Tensor seen;
    detail::at_h(s, [&](const Tensor& t) { seen = t; });
    return seen;
  }
}

/// Whether that is what they see: the cell has one of the members of `step_seeing`, or a State with an h, or one of a
/// single tensor.
template <Cell C>
bool tells_what_matrices_see(const C& cell) {
  if constexpr (requires { cell.tells_what_matrices_see(); })
    return cell.tells_what_matrices_see();
  else
    return detail::HasH<typename C::State> || detail::is_one_tensor<typename C::State>() ||
           requires(const StepInput<C>& in, const typename C::State& s, Tensor seen) {
      cell.step_seeing(in, s, seen);
    }
  || requires(const StepInput<C>& in, const typename C::State& s, Tensor seen) { cell.step_gates(in, s, seen); };
}

/// A step, from `step_input`, in which the recurrent matrices see `seen` and everything else in the cell sees its state
/// as it is: what recurrent dropout is made of. That takes a member `step_seeing(in, state, seen)` or `step_gates(in,
/// state, seen)`, as the library's cells have it (of a TimedCell with a fourth argument t); in a cell without, `seen`
/// is the state's h, or first tensor, for everything.
template <Cell C>
typename C::State step_seeing(const C& cell, const StepInput<C>& in, const typename C::State& s, Tensor seen,
                              Index t = 0) {
  if constexpr (requires { cell.step_seeing(in, s, seen, t); })
    return cell.step_seeing(in, s, seen, t);
  else if constexpr (requires { cell.step_seeing(in, s, seen); })
    return cell.step_seeing(in, s, seen);
  else if constexpr (requires { cell.step_gates(in, s, seen); })
    return cell.step_gates(in, s, seen).state;
  else
    return step_from_input(cell, in, detail::with_h(s, seen), t);
}

/// The same with the gates.
template <CellWithGates C>
StepWithGates<typename C::State, typename C::Gates> step_gates_seeing(const C& cell, const StepInput<C>& in,
                                                                      const typename C::State& s, Tensor seen) {
  if constexpr (requires { cell.step_gates(in, s, seen); })
    return cell.step_gates(in, s, seen);
  else
    return cell.step_gates(in, detail::with_h(s, seen));
}

}  // namespace rw
