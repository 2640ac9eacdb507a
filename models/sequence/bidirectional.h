#pragma once

#include <utility>
#include <vector>

#include <rewind/models/sequence/unroll.h>

namespace rw {

namespace detail {
/// End to end along the last axis, or added.
Tensor merged(Tensor forward, Tensor backward, bool sum);
}  // namespace detail

struct BidirectionalOptions {
  /// What becomes of the two outputs at a position: end to end, the forward one first, or added.
  enum class Merge { concat, sum } merge = Merge::concat;
};

/// Two cells, one of which reads the sequence from its end (Schuster and Paliwal, 1997): the output at a position knows
/// what comes before and after it. A Layer and no Cell, since it has no step. Stack<Bidirectional<C>> has layers, each
/// of which gets both directions of the one below, as in PyTorch and cuDNN. Parameters are named "forward.W", ...,
/// "backward.W", ...
template <Cell F, Cell B = F>
class Bidirectional : public Module {
 public:
  /// At a position: the state of the forward cell, which has read from the first step up to here, and that of the
  /// backward cell, which has read from the last step down to here.
  struct State {
    typename F::State forward;
    typename B::State backward;
  };

  /// Two layers; the second reads the sequence from its end.
  explicit Bidirectional(F forward, B backward, const BidirectionalOptions& options = {})
      : Module("bidirectional"),
        options_(options),
        forward_(child("forward", std::move(forward))),
        backward_(child("backward", std::move(backward))) {}

  /// The first.
  const F& forward() const { return forward_; }
  /// The second.
  const B& backward() const { return backward_; }
  /// What it was made with.
  const BidirectionalOptions& options() const { return options_; }

  State empty_state() const { return {rw::empty_state(forward_), rw::empty_state(backward_)}; }
  State zero_state(Tape& tape, Index batch) const {
    return {forward_.zero_state(tape, batch), backward_.zero_state(tape, batch)};
  }

  /// [N, forward + backward], or [N, width] of a sum. Throws Error for a sum of different widths.
  Tensor output(const State& s) const {
    return detail::merged(rw::output(forward_, s.forward), rw::output(backward_, s.backward), sums());
  }
  /// [T, N, forward + backward], or [T, N, width].
  Tensor outputs(const std::vector<State>& states) const {
    std::vector<Tensor> f, b;
    for (const State& s : states) {
      f.push_back(rw::output(forward_, s.forward));
      b.push_back(rw::output(backward_, s.backward));
    }
    return detail::merged(stack_steps(f), stack_steps(b), sums());
  }

  /// See rw::unroll. With `reverse` the cells change directions.
  void unroll(Tensor x, const State& state, std::vector<State>& states, UnrollOptions options) const {
    detail::check_sequence(x);
    states.assign(static_cast<std::size_t>(x.size(0)), state);
    const Scope scope(x.tape(), name());
    detail::run_layer(forward_, x, state.forward, options,
                      [&](Index t, const typename F::State& s) { states[static_cast<std::size_t>(t)].forward = s; });
    options.reverse = !options.reverse;
    detail::run_layer(backward_, x, state.backward, options,
                      [&](Index t, const typename B::State& s) { states[static_cast<std::size_t>(t)].backward = s; });
  }

  /// Both cells' states at the ends of their runs.
  State last_state(const std::vector<State>& states, const UnrollOptions& options) const {
    const State &first = states.front(), &last = states.back();
    return {options.reverse ? first.forward : last.forward, options.reverse ? last.backward : first.backward};
  }

  Bidirectional clone() const { return cloned(Bidirectional(forward_.clone(), backward_.clone(), options_), *this); }

 private:
  bool sums() const { return options_.merge == BidirectionalOptions::Merge::sum; }

  BidirectionalOptions options_;
  F& forward_;
  B& backward_;
};

}  // namespace rw
