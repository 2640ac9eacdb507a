#pragma once

#include <concepts>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rewind/autograd/tape.h>
#include <rewind/core/fields.h>

// What a type must have to be a cell, and the one line that the compiler says when something is missing.
namespace rw::detail {

template <class T>
constexpr bool holds_tensors();
template <class... Fields>
constexpr bool all_hold_tensors(const std::tuple<Fields&...>*) {
  return (holds_tensors<std::remove_cv_t<Fields>>() && ...);
}
/// Whether T is a Tensor, or an array, vector or struct of nothing else.
template <class T>
constexpr bool holds_tensors() {
  if constexpr (std::is_base_of_v<Tensor, T>)
    return true;
  else if constexpr (std::ranges::range<T>)
    return holds_tensors<std::ranges::range_value_t<T>>();
  else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>)
    return all_hold_tensors(static_cast<const decltype(fields(std::declval<T&>()))*>(nullptr));
  else
    return false;
}

template <class C>
concept BeginsAsCell = requires(const C& cell, Tape& tape, Index batch) {
  typename C::State;
  { cell.zero_state(tape, batch) } -> std::same_as<typename C::State>;
};
template <class C>
concept Steps = requires(const C& cell, const Tensor& x, const typename C::State& state) {
  { cell.step(x, state) } -> std::same_as<typename C::State>;
};
template <class C>
concept StepsInTime = requires(const C& cell, const Tensor& x, const typename C::State& state, const Index& t) {
  { cell.step(x, state, t) } -> std::same_as<typename C::State>;
};
/// What Cell asks for. Functions that take a Cell ask for it once more before they touch it, so that a cell which is
/// explained below leads to no further messages.
template <class C>
concept RightCell = BeginsAsCell<C> &&(Steps<C> || StepsInTime<C>)&&holds_tensors<typename C::State>();

template <class C>
concept StepsUnlessConst = requires(C& cell, const Tensor& x, const typename C::State& state, const Index& t) {
  requires requires { cell.step(x, state); } || requires {
    cell.step(x, state, t);
  };
};

template <class C>
concept ProjectsUnlessConst = requires(C& cell, const Tensor& x, const typename C::State& state, const Index& t) {
  requires requires { cell.step_projected(cell.project(x), state); } || requires {
    cell.step_projected(cell.project(x), state, t);
  };
};

// Whether a class has a member of this name, whatever it is: then the name of another base beside it is ambiguous.
struct StepName {
  int step;
};
struct UnrollName {
  int unroll;
};
template <class C, class Name>
struct Beside : C, Name {};
template <class C>
concept NamesStep = std::is_class_v<C> && !std::is_final_v<C> && !requires {
  &Beside<C, StepName>::step;
};
template <class C>
concept NamesUnroll = std::is_class_v<C> && !std::is_final_v<C> && !requires {
  &Beside<C, UnrollName>::unroll;
};

/// False, so that a message stands alone: a concept there would be explained by the compiler, too.
template <class C>
inline constexpr bool written = false;

/// Says what is missing in a cell that is meant as one: it has a State and a step. (What has an unroll may be a layer.)
/// True for such a cell, false for what is none.
template <class C>
constexpr bool explained_cell() {
  if constexpr (!requires { typename C::State; }) {
    return false;
  } else if constexpr (!NamesStep<C> || NamesUnroll<C>) {
    return false;
  } else {
    if constexpr (!holds_tensors<typename C::State>())
      static_assert(
          written<C>,
          "a cell's State holds Tensors, or arrays, vectors and structs of them: keep a number as a member of "
          "the cell, or in the State as a Tensor, tape.constant(3)");
    else if constexpr (!BeginsAsCell<C>)
      static_assert(
          written<C>,
          "a cell has a state before its first step: write, public, State zero_state(Tape& tape, Index batch) const");
    else if constexpr (StepsUnlessConst<C> && !StepsUnlessConst<const C>)
      static_assert(written<C>, "a cell's step is const: write State step(Tensor x, State s) const");
    else
      static_assert(
          written<C>,
          "a cell's step makes a State of the input and the State before: write, public, State step(Tensor x, State s) "
          "const, or with the time, State step(Tensor x, State s, Index t) const");
    return true;
  }
}

}  // namespace rw::detail
