#pragma once

#include <ranges>
#include <tuple>
#include <type_traits>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/core/error.h>
#include <rewind/core/fields.h>

namespace rw {

// A cell's State is an aggregate of Tensors, or of arrays, vectors or States of them. Nobody lists its fields: these
// functions visit them, in order, so they work for any cell.

/// Calls f(Tensor&) (const Tensor& for a const state) for every tensor of a state.
template <class State, class F>
void for_each_tensor(State& state, F&& f) {
  using Plain = std::remove_const_t<State>;
  if constexpr (std::is_base_of_v<Tensor, Plain>) {
    f(state);
  } else if constexpr (std::ranges::range<State>) {
    for (auto& part : state) for_each_tensor(part, f);
  } else if constexpr (std::is_aggregate_v<Plain>) {
    std::apply([&](auto&... part) { (for_each_tensor(part, f), ...); }, fields(state));
  } else {
    static_assert(std::is_aggregate_v<Plain>, "a State is an aggregate of Tensors, or of ranges or States of them");
  }
}

/// A state with f(tensor) in the place of every tensor.
template <class State, class F>
State map_state(State state, F&& f) {
  for_each_tensor(state, [&](Tensor& t) { t = f(t); });
  return state;
}

namespace detail {

template <class State>
constexpr bool has_vector();
template <class... Field>
constexpr bool any_has_vector(const std::tuple<Field&...>*) {
  return (has_vector<Field>() || ...);
}

/// Whether a state has a part whose length its type does not tell.
template <class State>
constexpr bool has_vector() {
  using Plain = std::remove_const_t<State>;
  if constexpr (std::is_same_v<Plain, Tensor>)
    return false;
  else if constexpr (std::ranges::range<Plain> && requires(Plain part) { part.resize(1); })
    return true;
  else if constexpr (std::ranges::range<Plain>)
    return has_vector<std::ranges::range_value_t<Plain>>();
  else
    return any_has_vector(static_cast<const decltype(fields(std::declval<Plain&>()))*>(nullptr));
}

}  // namespace detail

/// The number of tensors.
template <class State>
std::size_t tensor_count(const State& state) {
  std::size_t count = 0;
  for_each_tensor(state, [&](const Tensor&) { ++count; });
  return count;
}

/// The same values, through which no gradient flows.
template <class State>
State detach_state(State state) {
  return map_state(std::move(state), [](Tensor t) { return detach(t); });
}

/// The values of a state away from any tape: what is carried from chunk to chunk, and stored in a checkpoint.
using SavedState = std::vector<Array>;

/// Copies the values into `saved`, whose memory is reused when it fits.
template <class State>
void save_state(const State& state, SavedState& saved) {
  std::size_t i = 0;
  for_each_tensor(state, [&](const Tensor& t) {
    const ConstView value = t.value();
    if (i == saved.size()) saved.emplace_back();
    if (saved[i].shape() == value.shape && saved[i].dtype() == value.dtype)
      copy(value, saved[i].view());
    else
      saved[i] = Array(value);
    ++i;
  });
  saved.erase(saved.begin() + static_cast<std::ptrdiff_t>(i), saved.end());
}
template <class State>
SavedState save_state(const State& state) {
  SavedState saved;
  save_state(state, saved);
  return saved;
}

/// The saved values as constants of `tape`, in the structure of `like`. Throws Error when the number of tensors or a
/// shape differs.
template <class State>
State restore_state(Tape& tape, const SavedState& saved, State like) {
  if (saved.size() != tensor_count(like))
    throw Error("a saved state of " + std::to_string(saved.size()) + " tensors does not fit a state of " +
                std::to_string(tensor_count(like)));
  std::size_t i = 0;
  for_each_tensor(like, [&](Tensor& t) {
    const Array& value = saved[i++];
    if (t.valid() && t.shape() != value.shape())
      throw Error("tensor " + std::to_string(i - 1) + " of a saved state is " + value.shape().str() +
                  "; the cell's is " + t.shape().str());
    t = tape.constant(value);
  });
  return like;
}

namespace detail {
/// Copies position `row` of the first axis.
void copy_row(ConstView from, View to, Index row);
/// Throws Error unless `given` has the shapes and types of `expected`.
void check_same_shapes(const SavedState& expected, const SavedState& given);
}  // namespace detail

}  // namespace rw
