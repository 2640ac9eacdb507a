#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <rewind/models/cell.h>
#include <rewind/models/inline_vector.h>
#include <rewind/models/unroll.h>

namespace rw {

namespace detail {
/// x with a share of its elements dropped, when `on`.
Tensor dropped(Tensor x, double rate, bool on);
}  // namespace detail

struct StackOptions {
  /// Share of the elements of a layer's output that are dropped on the way to the next layer, while training
  /// (Zaremba, Sutskever and Vinyals, 2014): between layers, and not in the recurrence.
  double dropout = 0;
};

/// Layers of one kind of cell, each taking the output of the one below. It is a cell itself, so everything that takes a
/// cell takes a stack. Its output is the top layer's.
template <Cell C>
class Stack : public Module {
 public:
  struct State {
    InlineVector<typename C::State, 4> layers;
  };

  /// Bottom first; their names become "layer0", "layer1", ... Throws Error for no layers, and for a dropout outside
  /// [0, 1).
  explicit Stack(std::vector<C> layers, const StackOptions& options = {}) : Module("stack"), options_(options) {
    if (layers.empty()) throw Error("stack: there are no layers");
    if (!(options.dropout >= 0 && options.dropout < 1))
      throw Error("stack: dropout must be in [0, 1), not " + std::to_string(options.dropout));
    for (std::size_t i = 0; i < layers.size(); ++i)
      layers_.push_back(&child("layer" + std::to_string(i), std::move(layers[i])));
  }

  std::size_t depth() const { return layers_.size(); }
  const C& layer(std::size_t i) const { return *layers_.at(i); }
  const StackOptions& options() const { return options_; }

  State empty_state() const {
    State state{InlineVector<typename C::State, 4>(depth())};
    for (std::size_t i = 0; i < depth(); ++i) state.layers[i] = rw::empty_state(*layers_[i]);
    return state;
  }
  State zero_state(Tape& tape, Index batch) const {
    State state{InlineVector<typename C::State, 4>(depth())};
    for (std::size_t i = 0; i < depth(); ++i) state.layers[i] = layers_[i]->zero_state(tape, batch);
    return state;
  }

  State step(Tensor x, State s) const {
    for (std::size_t i = 0; i < depth(); ++i) {
      const Scope scope(x.tape(), layers_[i]->name());
      if (i > 0) x = detail::dropped(x, options_.dropout, training());
      s.layers[i] = layers_[i]->step(x, s.layers[i]);
      x = rw::output(*layers_[i], s.layers[i]);
    }
    return s;
  }

  Tensor output(const State& s) const { return rw::output(*layers_.back(), s.layers.back()); }

  /// `rw::unroll` of a stack: the same as step by step, but layer by layer, so that each layer multiplies its inputs of
  /// all steps at once.
  void unroll(Tensor x, State state, std::vector<State>& states) const {
    if (x.shape().rank() < 2)
      throw Error("unroll: a sequence is [T, N, features] or [T, N] of indices, not " + x.shape().str());
    states.assign(static_cast<std::size_t>(x.size(0)), state);
    if (states.empty()) return;
    const Scope scope(x.tape(), name());
    InlineVector<Tensor, 128> steps(states.size());
    for (std::size_t i = 0; i < depth(); ++i) {
      if (i > 0) x = detail::dropped(stack_steps({steps.data(), steps.size()}), options_.dropout, training());
      unroll_each(*layers_[i], x, state.layers[i], [&](Index t, const typename C::State& s) {
        states[static_cast<std::size_t>(t)].layers[i] = s;
        steps[static_cast<std::size_t>(t)] = rw::output(*layers_[i], s);
      });
    }
  }

  Stack clone() const {
    std::vector<C> layers;
    for (const C* layer : layers_) layers.push_back(layer->clone());
    return cloned(Stack(std::move(layers), options_), *this);
  }

 private:
  StackOptions options_;
  std::vector<C*> layers_;
};

}  // namespace rw
