#pragma once

// Checkpointed back-propagation beside the same on one tape.

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/bptt/checkpointed.h>
#include <rewind/ops/padding.h>

#include "../sequence.h"

namespace rw::test {

inline constexpr Index L = 23;

struct Found {
  double loss = 0;
  std::vector<Array> parameters;
  SavedState start;
  Array x;
  SavedState last;
};

// Equal to the bit: -0 is not 0.
inline bool same_bits(const Array& a, const Array& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.view().data, b.view().data, static_cast<std::size_t>(a.size()) * size_of(a.dtype())) == 0;
}
inline void check_same_bits(const std::vector<Array>& a, const std::vector<Array>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(same_bits(a[i], b[i]));
}
inline void check_same(const Found& a, const Found& b) {
  check_same_bits(a.parameters, b.parameters);
  check_same_bits(a.start, b.start);
  check_same_bits(a.last, b.last);
  CHECK(same_bits(a.x, b.x));
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-6));
}

inline std::vector<Array> take_gradients(const Module& module) {
  std::vector<Array> all;
  for (const NamedParameter& p : module.parameters()) all.push_back(p.parameter->grad());
  module.zero_grad();
  return all;
}

// A loss of some of a state's tensors, in which every element counts differently.
template <class State>
Tensor loss_of(const State& state) {
  std::optional<Tensor> total;
  for_each_tensor(state, [&](const Tensor& t) {
    if (!is_real(t.dtype())) return;
    const Tensor part = asymmetric(t);
    total = total.has_value() ? *total + part : part;
  });
  return *total;
}

struct Case {
  bool each = false;   // a loss at every second step, or of the last state
  bool start = false;  // from a state that was set
  DType dtype = DType::f32;
  CheckpointedRun run{};
};

inline bool counts(Index t) { return t % 2 == 0; }

// f(t, state) in the order of the run; after it for a cell that unrolls itself.
template <class C, class F>
void run_block(const C& cell, Tensor x, typename C::State state, const UnrollOptions& options, F&& f) {
  if constexpr (UnrollsItself<C>) {
    const auto states = unroll(cell, x, state, options);
    const Index steps = x.size(0);
    for (Index i = 0; i < steps; ++i) {
      const Index t = options.reverse ? steps - 1 - i : i;
      f(t, states[static_cast<std::size_t>(t)]);
    }
  } else {
    unroll_each(cell, x, state, options, f);
  }
}

// One tape: a loop over `step` for block 0, otherwise in blocks.
template <class C>
Found plain(const C& cell, const Array& x, const SavedState& start, Index block, const Case& c) {
  Tape tape({.dtype = c.dtype, .seed = 5});
  Found found;
  auto state = cell.zero_state(tape, N);
  std::vector<Tensor> variables;
  if (c.start) {
    tape.clear();
    std::size_t i = 0;
    for_each_tensor(state, [&](Tensor& t) { variables.push_back(t = tape.variable(start[i++])); });
  }
  const bool real = is_real(x.dtype());
  const Tensor in = real ? tape.variable(x) : tape.constant(x);
  UnrollOptions options{.reverse = c.run.reverse};
  if (c.run.lengths) options.lengths = tape.constant(*c.run.lengths);
  std::optional<Tensor> loss;
  const auto count = [&](Index t, const auto& s) {
    state = s;
    if (c.each && counts(t)) loss = loss ? *loss + loss_of(s) : loss_of(s);
  };
  if (block > 0) {
    for (Index done = 0; done < L; done += block) {
      const Index some = std::min(block, L - done), from = c.run.reverse ? L - done - some : done;
      UnrollOptions part = options;
      if (options.lengths) part.lengths = lengths_within(*options.lengths, L, from, some);
      run_block(cell, slice(in, 0, from, some), state, part, [&](Index t, const auto& s) { count(from + t, s); });
    }
  } else {
    for (Index t = 0; t < L; ++t) count(t, cell.step(at_step(in, t), state));
  }
  if (!c.each) loss = loss_of(state);
  backward(*loss);
  found.loss = loss->item();
  found.parameters = take_gradients(cell);
  for (const Tensor& v : variables) found.start.push_back(Array(tape.grad(v)));
  if (real) found.x = Array(tape.grad(in));
  found.last = save_state(state);
  return found;
}

template <class C>
Found checkpointed(const C& cell, const Array& x, const SavedState& start, const CheckpointOptions& options,
                   const Case& c) {
  CheckpointOptions all = options;
  all.input_gradient = is_real(x.dtype());
  CheckpointedBptt bptt(cell, N, all, {.dtype = c.dtype, .seed = 5});
  if (c.start) bptt.set_start(start);
  Found found;
  if (c.each)
    found.loss = bptt.backward_each(
        x, [&](Index t, const auto& s) { return counts(t) ? loss_of(s) : Tensor(); }, c.run);
  else
    found.loss = bptt.backward(
        x, [&](const auto& s) { return loss_of(s); }, c.run);
  found.parameters = take_gradients(cell);
  if (c.start) found.start = bptt.start_gradient();
  if (is_real(x.dtype())) found.x = bptt.input_gradient();
  found.last = bptt.last_state();
  return found;
}

template <class C>
SavedState some_state(const C& cell) {
  Tape tape;
  Rng rng(3);
  return save_state(
      map_state(cell.zero_state(tape, N), [&](Tensor t) { return tape.constant(uniform(rng, t.shape(), -1, 1)); }));
}

}  // namespace rw::test
