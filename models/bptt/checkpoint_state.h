#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <rewind/models/inline_vector.h>
#include <rewind/models/state.h>

namespace rw::detail {

/// Values of a state away from any tape, and which of its tensors are one node: alias[i] is the first that is the same.
struct Checkpoint {
  SavedState values;
  std::vector<std::size_t> alias;
};

/// For each tensor of a state, the first one that is the same node.
template <class State>
void first_same(const State& state, std::vector<std::size_t>& alias) {
  InlineVector<Tensor, 8> all;
  for_each_tensor(state, [&](const Tensor& t) { all.push_back(t); });
  alias.resize(all.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    alias[i] = static_cast<std::size_t>(
        std::find_if(all.begin(), all.begin() + i, [&](const Tensor& t) { return t.same(all[i]); }) - all.begin());
}

/// Copies a state into memory that fits.
template <class State>
void save_checkpoint(const State& state, Checkpoint& into) {
  save_state(state, into.values);
  first_same(state, into.alias);
}

/// The state as variables of `tape`, constants where it holds indices, in the structure of `state`; one node where it
/// was one. `variables` become its tensors, in order.
template <class State>
State restore_variables(Tape& tape, const Checkpoint& saved, State state, std::vector<Tensor>& variables) {
  variables.clear();
  for_each_tensor(state, [&](Tensor& t) {
    const std::size_t i = variables.size();
    const Array& value = saved.values[i];
    if (saved.alias[i] != i)
      t = variables[saved.alias[i]];
    else
      t = is_real(value.dtype()) ? tape.variable(value) : tape.constant(value);
    variables.push_back(t);
  });
  return state;
}

/// Copies into memory that fits.
void copy_checkpoint(const Checkpoint& from, Checkpoint& to);
void copy_array(ConstView from, Array& to);
std::size_t bytes_of(const SavedState& state);

}  // namespace rw::detail
