#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/structural.h>
#include <rewind/models/inline_vector.h>
#include <rewind/models/sequence/layer.h>
#include <rewind/ops/padding.h>

namespace rw {

/// Position t of the first axis: [T, ...] -> [...].
Tensor at_step(Tensor x, Index t);

/// Tensors of equal shape along a new first axis: T of [...] -> [T, ...]. Throws Error for none.
Tensor stack_steps(std::span<const Tensor> steps);

namespace detail {

/// Throws Error unless x is a sequence.
void check_sequence(const Tensor& x);
/// Steps [from, from + count) of x; x itself for all of them.
Tensor steps_of(Tensor x, Index from, Index count);
/// Throws Error for a tensor of a state whose batch, axis 0, is neither x's nor 1. What has no rows has no batch.
void check_batch(const Tensor& x, const Tensor& state);
/// `after` where the mask [N] is 1, `before` elsewhere.
Tensor carried(Tensor mask, Tensor after, Tensor before);

/// The same for all tensors of a state. What a step left alone stays the same node.
template <class State>
State carried(Tensor mask, State after, const State& before) {
  InlineVector<Tensor, 8> old;
  for_each_tensor(before, [&](const Tensor& t) { old.push_back(t); });
  std::size_t i = 0;
  for_each_tensor(after, [&](Tensor& t) {
    if (i == old.size()) throw Error("unroll: with lengths, a state must have as many tensors after a step as before");
    t = carried(mask, t, old[i++]);
  });
  return after;
}

}  // namespace detail

/// Runs a cell over a sequence, time-major: x [T, N, in], or indices [T, N] for a cell that takes them. Calls
/// f(t, state) with the state after the step at position t, in the order of the run.
template <Cell C, class F>
void unroll_each(const C& cell, Tensor x, typename C::State state, const UnrollOptions& options, F&& f) {
  detail::check_sequence(x);
  Tape& tape = x.tape();
  const Scope scope(tape, scope_name(cell));
  for_each_tensor(state, [&](const Tensor& t) { detail::check_batch(x, t); });
  const Index steps = x.size(0);
  Tensor mask;
  if (options.lengths) {
    mask = sequence_mask(*options.lengths, steps);
    x = clear_padding(x, *options.lengths);
  }
  if constexpr (ProjectedCell<C>) x = cell.project(x);  // one product for all steps
  for (Index i = 0; i < steps; ++i) {
    const Index t = options.reverse ? steps - 1 - i : i;
    const Scope step(tape, "t", t);
    const auto next = [&](const typename C::State& s) {
      if constexpr (ProjectedCell<C>)
        return cell.step_projected(at_step(x, t), s);
      else
        return cell.step(at_step(x, t), s);
    };
    state = options.lengths ? detail::carried(at_step(mask, t), next(state), state) : next(state);
    f(t, state);
  }
}
template <Cell C, class F>
void unroll_each(const C& cell, Tensor x, const typename C::State& state, F&& f) {
  unroll_each(cell, x, state, UnrollOptions(), f);
}

namespace detail {
/// f(t, state) at every position, by the layer's own unroll if it has one.
template <class L, class F>
void run_layer(const L& layer, Tensor x, const typename L::State& state, const UnrollOptions& options, F&& f) {
  if constexpr (UnrollsItself<L>) {
    std::vector<typename L::State> states;
    layer.unroll(x, state, states, options);
    for (std::size_t t = 0; t < states.size(); ++t) f(static_cast<Index>(t), states[t]);
  } else {
    unroll_each(layer, x, state, options, f);
  }
}
}  // namespace detail

/// The same for any layer, giving the states at all T positions (none for T = 0); every op is recorded in the scope
/// "name/t=3". `states` is filled anew. Throws Error for x of another rank, for x or lengths of a shape that does not
/// fit the layer or the state, for a state of another batch (axis 0 of its tensors of rank 2 or more; 1 broadcasts),
/// and for a length that is negative or over T.
template <Layer L>
void unroll(const L& layer, Tensor x, const typename L::State& state, std::vector<typename L::State>& states,
            const UnrollOptions& options = {}) {
  if constexpr (UnrollsItself<L>) {
    layer.unroll(x, state, states, options);
  } else {
    detail::check_sequence(x);
    states.assign(static_cast<std::size_t>(x.size(0)), state);
    unroll_each(layer, x, state, options,
                [&](Index t, const typename L::State& s) { states[static_cast<std::size_t>(t)] = s; });
  }
}
template <Layer L>
std::vector<typename L::State> unroll(const L& layer, Tensor x, const typename L::State& state,
                                      const UnrollOptions& options = {}) {
  std::vector<typename L::State> states;
  unroll(layer, x, state, states, options);
  return states;
}

/// The same states, recorded `block` steps at a time, from the beginning of the run on: what `project` computes, and a
/// stack's layers, take each block by itself, where `unroll` takes all steps at once. It is another order of sums (the
/// last bits of a product depend on its number of rows, and a weight's gradient is a sum of as many products as there
/// are blocks) and, in a stack with dropout, of draws, so the last bits may differ from unroll's. With a block of 1 it
/// is a loop over the cell's `step`, to the bit. Throws Error for a block below 1 and as `unroll` does.
template <Cell C>
std::vector<typename C::State> unroll_in_blocks(const C& cell, Tensor x, typename C::State state, Index block,
                                                const UnrollOptions& options = {}) {
  if (block < 1) throw Error("unroll: a block of " + std::to_string(block) + " steps: it must be 1 or more");
  detail::check_sequence(x);
  const Index steps = x.size(0);
  std::vector<typename C::State> all(static_cast<std::size_t>(steps), state), some;
  for (Index done = 0; done < steps; done += block) {
    const Index count = std::min(block, steps - done), from = options.reverse ? steps - done - count : done;
    UnrollOptions part = options;
    if (options.lengths) part.lengths = lengths_within(*options.lengths, steps, from, count);
    unroll(cell, detail::steps_of(x, from, count), state, some, part);
    state = options.reverse ? some.front() : some.back();
    std::copy(some.begin(), some.end(), all.begin() + from);
  }
  return all;
}

/// The state at the end of a run: of each sequence, at its own length. `options` are those of the run. Throws Error for
/// no steps; the last state is then the first.
template <Layer L>
typename L::State last_state(const L& layer, const std::vector<typename L::State>& states,
                             const UnrollOptions& options = {}) {
  if (states.empty()) throw Error("last_state: a sequence of no steps has no states");
  if constexpr (requires { layer.last_state(states, options); })
    return layer.last_state(states, options);
  else
    return options.reverse ? states.front() : states.back();
}

/// The outputs at all positions: [T, N, out].
template <Layer L>
Tensor outputs(const L& layer, const std::vector<typename L::State>& states) {
  if constexpr (requires { layer.outputs(states); }) {
    return layer.outputs(states);
  } else {
    InlineVector<Tensor, 128> steps(states.size());
    for (std::size_t t = 0; t < states.size(); ++t) steps[t] = output(layer, states[t]);
    return stack_steps({steps.data(), steps.size()});
  }
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
