#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/structural.h>
#include <rewind/models/inline_vector.h>
#include <rewind/models/sequence/layer.h>
#include <rewind/models/sequence/states.h>
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
  for_each_tensor(after, [&](Tensor& t) { t = carried(mask, t, old[i++]); });
  return after;
}

/// Whether a tensor of a state may be followed by `after`: of its type and shape, or of one that it broadcasts to.
bool keeps_shape(const Tensor& before, const Tensor& after);
[[noreturn]] void throw_other_state(Tape& tape, std::size_t tensors_before, std::size_t tensors_after);
[[noreturn]] void throw_other_shape(std::size_t tensor, const Tensor& before, const Tensor& after);

/// Throws Error unless a step left the structure and the shapes of its state as they were.
template <class State>
void check_kept(Tape& tape, const State& before, const State& after) {
  InlineVector<Tensor, 8> old;
  for_each_tensor(before, [&](const Tensor& t) { old.push_back(t); });
  std::size_t i = 0;
  for_each_tensor(after, [&](const Tensor& t) {
    if (i < old.size() && !keeps_shape(old[i], t)) throw_other_shape(i, old[i], t);
    ++i;
  });
  if (i != old.size()) throw_other_state(tape, old.size(), i);
}

/// What a step at position t of a sequence gets.
template <class Input>
Input input_at(Input in, Index t) {
  for_each_tensor(in, [&]<class Part>(Part& part) {
    if constexpr (!std::is_same_v<Part, Invariant>) part = at_step(part, t);
  });
  return in;
}

/// An output of no steps: [0, N, out], where one step's is like this, for a batch of N or 1.
Tensor no_outputs(const Tensor& like, Index batch);

}  // namespace detail

/// Runs a cell over a sequence, time-major: x [T, N, in], or indices [T, N] for a cell that takes them. Calls
/// f(t, state) with the state after the step at position t, in the order of the run.
template <Cell C, class F>
void unroll_each(const C& cell, Tensor x, typename C::State state, const UnrollOptions& options, F&& f) {
  if constexpr (detail::RightCell<C>) {
    detail::check_sequence(x);
    Tape& tape = x.tape();
    const Scope scope(tape, scope_name(cell));
    for_each_tensor(state, [&](const Tensor& t) { detail::check_batch(x, t); });
    const Index steps = x.size(0);
    if (steps == 0) return;
    Tensor mask;
    if (options.lengths) {
      mask = sequence_mask(*options.lengths, steps);
      x = clear_padding(x, *options.lengths);
    }
    const StepInput<C> in = step_input(cell, x);  // one product for all steps
    for (Index i = 0; i < steps; ++i) {
      const Index t = options.reverse ? steps - 1 - i : i;
      const Scope step(tape, "t", t);
      auto next = step_from_input(cell, detail::input_at(in, t), state, options.first + t);
      detail::check_kept(tape, state, next);
      state = options.lengths ? detail::carried(at_step(mask, t), std::move(next), state) : std::move(next);
      f(t, state);
    }
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

/// The same for any layer, giving the states at all T positions (none for T = 0, see States); every op is recorded in
/// the scope "name/t=3". `states` is filled anew. Throws Error for x of another rank, for x or lengths of a shape that
/// does not fit the layer or the state, for a state of another batch (axis 0 of its tensors of rank 2 or more; 1
/// broadcasts), for a step that gives its state another shape, and for a length that is negative or over T.
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
States<typename L::State> unroll(const L& layer, Tensor x, const typename L::State& state,
                                 const UnrollOptions& options = {}) {
  detail::check_sequence(x);
  States<typename L::State> states(state, x.size(1));
  unroll(layer, x, state, static_cast<std::vector<typename L::State>&>(states), options);
  return states;
}

/// The same states, recorded `block` steps at a time, from the beginning of the run on: what `project` computes, and a
/// stack's layers, take each block by itself, where `unroll` takes all steps at once. It is another order of sums (the
/// last bits of a product depend on its number of rows, and a weight's gradient is a sum of as many products as there
/// are blocks) and, in a stack with dropout, of draws, so the last bits may differ from unroll's. With a block of 1 it
/// is a loop over the cell's `step`, to the bit. Throws Error for a block below 1 and as `unroll` does.
template <Cell C>
States<typename C::State> unroll_in_blocks(const C& cell, Tensor x, typename C::State state, Index block,
                                           const UnrollOptions& options = {}) {
  if (block < 1) throw Error("unroll: a block of " + std::to_string(block) + " steps: it must be 1 or more");
  detail::check_sequence(x);
  const Index steps = x.size(0);
  States<typename C::State> all(state, x.size(1));
  all.assign(static_cast<std::size_t>(steps), state);
  std::vector<typename C::State> some;
  for (Index done = 0; done < steps; done += block) {
    const Index count = std::min(block, steps - done), from = options.reverse ? steps - done - count : done;
    UnrollOptions part = options;
    part.first += from;
    if (options.lengths) part.lengths = lengths_within(*options.lengths, steps, from, count);
    unroll(cell, detail::steps_of(x, from, count), state, some, part);
    state = options.reverse ? some.front() : some.back();
    std::copy(some.begin(), some.end(), all.begin() + from);
  }
  return all;
}

/// The state at the end of a run: of each sequence, at its own length. `options` are those of the run. With no steps
/// the state before them; a plain vector does not know it, and Error is thrown.
template <Layer L>
typename L::State last_state(const L& layer, const std::vector<typename L::State>& states,
                             const UnrollOptions& options = {}) {
  if (states.empty()) throw Error("last_state: a sequence of no steps has no states");
  if constexpr (requires { layer.last_state(states, options); })
    return layer.last_state(states, options);
  else
    return options.reverse ? states.front() : states.back();
}
template <Layer L>
typename L::State last_state(const L& layer, const States<typename L::State>& states,
                             const UnrollOptions& options = {}) {
  if (states.empty()) return states.start();
  return last_state(layer, static_cast<const std::vector<typename L::State>&>(states), options);
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
template <Layer L>
Tensor outputs(const L& layer, const States<typename L::State>& states) {
  if (states.empty()) return detail::no_outputs(output(layer, states.start()), states.batch());
  return outputs(layer, static_cast<const std::vector<typename L::State>&>(states));
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
template <class State>
Tensor outputs(const States<State>& states) requires requires(const State& s) {
  s.h;
}
{
  if (states.empty()) return detail::no_outputs(states.start().h, states.batch());
  return outputs(static_cast<const std::vector<State>&>(states));
}

}  // namespace rw
