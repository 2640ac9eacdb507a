#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/structural.h>
#include <rewind/models/cell.h>
#include <rewind/models/inline_vector.h>

namespace rw {

/// Position t of the first axis: [T, ...] -> [...].
Tensor at_step(Tensor x, Index t);

/// Tensors of equal shape along a new first axis: T of [...] -> [T, ...]. Throws Error for none.
Tensor stack_steps(std::span<const Tensor> steps);

/// Runs a cell over a sequence, time-major: x [T, N, in], or indices [T, N] for a cell that takes them. Calls
/// f(t, state) with the state after each step.
template <Cell C, class F>
void unroll_each(const C& cell, Tensor x, typename C::State state, F&& f) {
  const Shape shape = x.shape();
  if (shape.rank() < 2) throw Error("unroll: a sequence is [T, N, features] or [T, N] of indices, not " + shape.str());
  Tape& tape = x.tape();
  const Scope scope(tape, scope_name(cell));
  if constexpr (ProjectedCell<C>) x = cell.project(x);  // one product for all steps
  for (Index t = 0; t < shape[0]; ++t) {
    const Scope step(tape, "t", t);
    if constexpr (ProjectedCell<C>)
      state = cell.step_projected(at_step(x, t), state);
    else
      state = cell.step(at_step(x, t), state);
    f(t, state);
  }
}

/// The same, giving the states of all T steps (none for T = 0); every op is recorded in the scope "name/t=3". `states`
/// is filled anew. Throws Error for x of another rank, or of a shape that does not fit the cell or the state.
template <Cell C>
void unroll(const C& cell, Tensor x, const typename C::State& state, std::vector<typename C::State>& states) {
  if constexpr (requires { cell.unroll(x, state, states); }) {
    cell.unroll(x, state, states);
  } else {
    states.clear();
    unroll_each(cell, x, state, [&](Index, const typename C::State& s) { states.push_back(s); });
  }
}
template <Cell C>
std::vector<typename C::State> unroll(const C& cell, Tensor x, const typename C::State& state) {
  std::vector<typename C::State> states;
  unroll(cell, x, state, states);
  return states;
}

/// The same states, recorded `block` steps at a time: what `project` computes, and a stack's layers, take each block by
/// itself, where `unroll` takes all steps at once. It is another order of sums, so the last bits of values and
/// gradients may differ; with a block of 1 it is the cell's `step`, step by step. Throws Error for a block below 1.
template <Cell C>
std::vector<typename C::State> unroll_in_blocks(const C& cell, Tensor x, typename C::State state, Index block) {
  if (block < 1) throw Error("unroll: a block of " + std::to_string(block) + " steps: it must be 1 or more");
  const Shape shape = x.shape();
  if (shape.rank() < 2) throw Error("unroll: a sequence is [T, N, features] or [T, N] of indices, not " + shape.str());
  std::vector<typename C::State> all, some;
  for (Index t = 0; t < shape[0]; t += block) {
    unroll(cell, record(Slice{.axis = 0, .start = t, .length = std::min(block, shape[0] - t)}, {x}), state, some);
    state = some.back();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

/// The outputs of all steps: [T, N, out].
template <Cell C>
Tensor outputs(const C& cell, const std::vector<typename C::State>& states) {
  InlineVector<Tensor, 128> steps(states.size());
  for (std::size_t t = 0; t < states.size(); ++t) steps[t] = output(cell, states[t]);
  return stack_steps({steps.data(), steps.size()});
}
/// The same for states that have an h.
template <class State>
Tensor outputs(const std::vector<State>& states) requires requires(const State& s) {
  s.h;
}
{
  InlineVector<Tensor, 128> steps(states.size());
  for (std::size_t t = 0; t < states.size(); ++t) steps[t] = states[t].h;
  return stack_steps({steps.data(), steps.size()});
}

}  // namespace rw
