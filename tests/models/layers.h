#pragma once

// Every kind of layer that the tests of sequences run, and the check that a padded batch is its sequences alone.

#include <cmath>

#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/ops/padding.h>

#include "sequence.h"

namespace rw::test {

/// Calls check(cell, again) with an LSTM, a GRU, an RNN and a user's own cell, each made twice.
template <class F>
void for_each_cell(Index in, Index hidden, F&& check) {
  const auto two = [&]<class C>(std::type_identity<C>) {
    Rng rng(1);
    C first(in, hidden, rng);
    CAPTURE(first.name());
    check(std::move(first), C(in, hidden, rng));
  };
  two(std::type_identity<LstmCell>());
  two(std::type_identity<GruCell>());
  two(std::type_identity<RnnCell>());
  two(std::type_identity<UgrnnCell>());
}

template <class C>
Bidirectional<C> both_directions(C forward, C backward, const BidirectionalOptions& options = {}) {
  return Bidirectional<C>(std::move(forward), std::move(backward), options);
}

/// Two bidirectional layers, the second of another width.
template <class C>
Stack<Bidirectional<C>> two_bidirectional(Index in, Index hidden, const StackOptions& options = {},
                                          Index in_above = 0) {
  Rng rng(1);
  std::vector<Bidirectional<C>> layers;
  layers.push_back(both_directions(C(in, hidden, rng), C(in, hidden, rng)));
  if (in_above == 0) in_above = 2 * hidden;
  layers.push_back(both_directions(C(in_above, hidden, rng), C(in_above, hidden, rng)));
  return Stack<Bidirectional<C>>(std::move(layers), options);
}

inline Array indices_of(std::initializer_list<std::int32_t> values) { return Array(std::vector<std::int32_t>(values)); }

/// Random numbers in f64.
inline Array randoms(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  return uniform(rng, shape, -1, 1).to(DType::f64);
}

/// What a run gives: a scalar of outputs and last state in which every element has a weight of its own, and the
/// gradients of the input, the initial state and the parameters.
struct Run {
  double loss = 0;
  Array outputs;
  SavedState last;
  std::vector<Array> gradients;  // input, state, parameters
};

/// Sequences `from` to `to` of the padded batch, up to `steps`, from their own initial state.
template <class L>
Run run(const L& layer, const Array& batch, Index from, Index count, Index steps, const UnrollOptions& options,
        const Array* lengths) {
  Tape tape(DType::f64);
  const auto part = [&](const Array& all, int axis) { return slice(tape.constant(all), axis, from, count).array(); };
  const Tensor x = tape.variable(slice(tape.constant(part(batch, 1)), 0, 0, steps).array());
  std::uint64_t seed = 20;
  std::vector<Operand> leaves{x};
  const Index all = batch.shape()[1];
  const auto start = map_state(layer.zero_state(tape, all), [&](Tensor t) {
    leaves.emplace_back(tape.variable(part(randoms(t.shape(), seed++), 0)));
    return *leaves.back().tensor();
  });
  for (const NamedParameter& p : layer.parameters()) leaves.emplace_back(*p.parameter);
  UnrollOptions how = options;
  if (lengths != nullptr) how.lengths = tape.constant(*lengths);
  const auto states = unroll(layer, x, start, how);
  Run out;
  Tensor loss = tape.constant(0);
  if (!states.empty()) {
    Tensor y = outputs(layer, states);
    if (how.lengths) y = clear_padding(y, *how.lengths);
    const Array weights = randoms({batch.shape()[0], all, y.size(-1)}, 5);
    loss = loss + sum(y * slice(tape.constant(part(weights, 1)), 0, 0, steps));
    out.outputs = y.array();
  }
  const auto last = states.empty() ? start : last_state(layer, states, how);
  for_each_tensor(last, [&](const Tensor& t) {
    loss = loss + sum(t * tape.constant(part(randoms(t.shape().with(0, all), seed++), 0)));
  });
  out.last = save_state(last);
  out.loss = loss.item();
  for (const Tensor& g : grad(loss, leaves)) out.gradients.push_back(g.array());
  return out;
}

/// The largest difference, relative to the largest number (1 at least); infinite for nan.
inline double relative_difference(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0, scale = 1;
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(x[i] - y[i]);
    most = std::isnan(d) ? INFINITY : std::max(most, d);
    scale = std::max(scale, std::abs(y[i]));
  }
  return most / scale;
}

/// A batch of sequences of lengths 2, 5, 0, 3 and 1, whose padding holds nan, gives the values and gradients that each
/// of them gives alone.
template <class L>
void check_lengths(const L& layer, Index in, const UnrollOptions& options) {
  layer.to(DType::f64);
  const Array lengths = indices_of({2, 5, 0, 3, 1});
  const Index steps = 5, count = 5;
  Array x = randoms({steps, count, in}, 3);
  const auto length = [&](Index n) { return lengths.span<std::int32_t>()[static_cast<std::size_t>(n)]; };
  for (Index t = 0; t < steps; ++t)
    for (Index n = 0; n < count; ++n)
      for (Index i = 0; i < in && t >= length(n); ++i)
        x.span<double>()[static_cast<std::size_t>((t * count + n) * in + i)] = std::nan("");
  const Run all = run(layer, x, 0, count, steps, options, &lengths);
  Tape tape(DType::f64);
  const auto row = [&](const Array& a, int axis, Index n) { return slice(tape.constant(a), axis, n, 1); };
  double loss = 0;
  std::vector<Array> parameters;
  const std::size_t own = all.last.size() + 1;  // gradients that belong to one sequence
  for (Index n = 0; n < count; ++n) {
    const Run alone = run(layer, x, n, 1, length(n), options, nullptr);
    loss += alone.loss;
    if (length(n) > 0)
      CHECK(relative_difference(slice(row(all.outputs, 1, n), 0, 0, length(n)).array(), alone.outputs) < 1e-12);
    for (std::size_t i = 0; i < alone.last.size(); ++i)
      CHECK(relative_difference(row(all.last[i], 0, n).array(), alone.last[i]) < 1e-12);
    const Tensor gx = row(all.gradients[0], 1, n);
    CHECK(relative_difference(slice(gx, 0, 0, length(n)).array(), alone.gradients[0]) < 1e-12);
    const Tensor padding = slice(gx, 0, length(n), steps - length(n));
    CHECK(padding.array() == zeros(padding.shape()).to(DType::f64));
    for (std::size_t i = 1; i < own; ++i)
      CHECK(relative_difference(row(all.gradients[i], 0, n).array(), alone.gradients[i]) < 1e-12);
    for (std::size_t i = own; i < alone.gradients.size(); ++i) {
      if (n == 0) parameters.push_back(zeros(alone.gradients[i].shape()).to(DType::f64));
      Array& sum = parameters[i - own];
      for (std::size_t k = 0; k < sum.span<double>().size(); ++k)
        sum.span<double>()[k] += alone.gradients[i].span<double>()[k];
    }
  }
  CHECK(all.loss == doctest::Approx(loss).epsilon(1e-12));
  REQUIRE(all.gradients.size() == own + parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i)
    CHECK(relative_difference(all.gradients[own + i], parameters[i]) < 1e-12);
}

}  // namespace rw::test
