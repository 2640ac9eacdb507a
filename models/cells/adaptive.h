#pragma once

#include <string>
#include <utility>

#include <rewind/models/cells/cell.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {

struct AdaptiveOptions {
  /// The most rounds that a step may take; all of them are recorded, and those that a sequence does not need count 0.
  int at_most = 5;
  /// A step ends when its halting probabilities add up to 1 - epsilon.
  double epsilon = 0.01;
};

/// Adaptive computation time (Graves, 2016) around a cell of in + 1 inputs, the last of which is 1 in a step's first
/// round and 0 in its others. After each round n a unit halts with probability
///
///     p(n) = sigmoid(y(n) w + b)          y: the cell's output
///
/// until they add up to 1 - epsilon, or `at_most` rounds were made; the last round gets what is left of 1, the
/// remainder. The step's state is the mean of the rounds' states by these weights. `ponder` [N, 1] of the state is the
/// cost so far, the sum over steps of the number of rounds and the remainder: add a small part of it to the loss.
/// Parameters are the cell's and halt_w [out, 1], halt_b [1], which begins at 1.
///
///     AdaptiveCell cell(LstmCell(in + 1, hidden, rng), rng, {.at_most = 8});
template <Cell C>
requires(detail::Steps<C>&& std::derived_from<C, Module>) class AdaptiveCell : public Module {
 public:
  struct State {
    typename C::State inner;
    Tensor ponder;  // [N, 1]
  };

  /// Throws Error for less than one round and for an epsilon outside [0, 1).
  AdaptiveCell(C cell, Rng& rng, const AdaptiveOptions& options = {})
      : Module("adaptive"),
        options_(options),
        cell_(child("cell", std::move(cell))),
        w_(param("halt_w", glorot(rng, output_width(cell_), 1))),
        b_(param("halt_b", full({1}, 1))) {
    if (options.at_most < 1)
      throw Error("adaptive: " + std::to_string(options.at_most) + " rounds: it must be 1 or more");
    if (!(options.epsilon >= 0 && options.epsilon < 1))
      throw Error("adaptive: epsilon is " + std::to_string(options.epsilon) + ": it must be in [0, 1)");
  }

  /// The cell within.
  const C& cell() const { return cell_; }
  /// What it was made with.
  const AdaptiveOptions& options() const { return options_; }

  State empty_state() const { return {rw::empty_state(cell_), {}}; }
  State zero_state(Tape& tape, Index batch) const {
    return {cell_.zero_state(tape, batch), tape.constant(0.0, {batch, 1})};
  }
  Tensor output(const State& s) const { return rw::output(cell_, s.inner); }

  State step(Tensor x, const State& s) const {
    Tape& tape = x.tape();
    const Shape one{x.size(0), 1};
    typename C::State round = s.inner, mean = s.inner;
    Tensor total = tape.constant(0.0, one), running = tape.constant(1.0, one), cost = s.ponder;
    for (int n = 0; n < options_.at_most; ++n) {
      round = cell_.step(concat({x, tape.constant(n == 0 ? 1.0 : 0.0, one)}, -1), round);
      const Tensor p = sigmoid(matmul(rw::output(cell_, round), w_) + b_);
      const bool last = n + 1 == options_.at_most;
      const Tensor ends = last ? tape.constant(1.0, one) : total + p >= 1 - options_.epsilon;
      const Tensor rest = 1 - total, weight = running * where(ends, rest, p);
      add(weight, round, n == 0, mean);
      cost = cost + running * (1 + where(ends, rest, 0));
      total = total + weight;
      running = running * (1 - ends);
    }
    return {mean, cost};
  }

  AdaptiveCell clone() const requires requires(const C& c) { c.clone(); }
  {
    Rng unused(0);
    return cloned(AdaptiveCell(cell_.clone(), unused, options_), *this);
  }

 private:
  /// mean += weight * round, tensor by tensor; the first time mean = weight * round.
  static void add(Tensor weight, const typename C::State& round, bool first, typename C::State& mean) {
    InlineVector<Tensor, 8> parts;
    for_each_tensor(round, [&](const Tensor& t) {
      Shape shape = weight.shape();
      while (shape.rank() < t.shape().rank()) shape = shape.inserted(1, 1);
      parts.push_back(reshape(weight, shape) * t);
    });
    std::size_t i = 0;
    for_each_tensor(mean, [&](Tensor& t) {
      t = first ? parts[i] : t + parts[i];
      ++i;
    });
  }

  AdaptiveOptions options_;
  C& cell_;
  Parameter &w_, &b_;
};

}  // namespace rw
