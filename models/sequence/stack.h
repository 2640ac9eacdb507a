#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rewind/models/inline_vector.h>
#include <rewind/models/sequence/unroll.h>

namespace rw {

struct StackOptions {
  /// Share of the elements of a layer's output that are dropped on the way to the next layer, while training
  /// (Zaremba, Sutskever and Vinyals, 2014): between layers, and not in the recurrence.
  double dropout = 0;
  /// Every layer above the first reads the output of the one below and then, beside it, the stack's input (Graves,
  /// 2013): its `in` is the sum of both widths.
  bool skip_input = false;
  /// The stack's output is the outputs of all layers end to end, bottom first, in place of the top one's (Graves,
  /// 2013).
  bool skip_output = false;
  /// Every layer above the first adds its output to that of the one below (He et al., 2016; between recurrent layers as
  /// Wu et al., 2016): their widths must be equal.
  bool residual = false;
};

namespace detail {
/// x with a share of its elements dropped, when `on`.
Tensor dropped(Tensor x, double rate, bool on);
template <class C>
struct GatesOfLayers {};
template <CellWithGates C>
struct GatesOfLayers<C> {
  InlineVector<typename C::Gates, 4> layers;
};

/// Throws Error for no layers and for bad options.
void check_stack(std::size_t layers, const StackOptions& options);
/// What layer number i > 0 reads, given what is below it and the stack's input.
Tensor stack_input(Tensor below, Tensor input, const StackOptions& options, bool training);
/// What layer number i > 0 gives to the next one.
Tensor stack_step(Tensor below, Tensor output, const StackOptions& options);
/// The output of a stack whose layers have these outputs.
Tensor stack_output(std::span<Tensor> outputs, const StackOptions& options);
}  // namespace detail

/// Layers, each taking the output of the one below; their widths may differ, and Stack<AnyCell> has different cells. A
/// stack of cells is a cell itself, so everything that takes a cell takes a stack; a stack of Bidirectional is a Layer.
template <Layer C>
class Stack : public Module {
 public:
  struct State {
    InlineVector<typename C::State, 4> layers;
  };
  /// `layers`, the gates of each, if they have gates.
  using Gates = detail::GatesOfLayers<C>;

  /// Bottom first; their names become "layer0", "layer1", ... Throws Error for no layers, and for a dropout outside
  /// [0, 1).
  explicit Stack(std::vector<C> layers, const StackOptions& options = {}) : Module("stack"), options_(options) {
    detail::check_stack(layers.size(), options);
    for (std::size_t i = 0; i < layers.size(); ++i)
      layers_.push_back(&child("layer" + std::to_string(i), std::move(layers[i])));
  }

  /// Number of layers.
  std::size_t depth() const { return layers_.size(); }
  /// Layer i, from the bottom.
  const C& layer(std::size_t i) const { return *layers_.at(i); }
  /// What it was made with.
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

  State step(Tensor x, State s) const requires Cell<C> {
    through_layers(x, [&](std::size_t i, Tensor in) {
      s.layers[i] = layers_[i]->step(in, s.layers[i]);
      return rw::output(*layers_[i], s.layers[i]);
    });
    return s;
  }
  /// See CellWithGates.
  StepWithGates<State, Gates> step_gates(Tensor x, const State& s) const requires CellWithGates<C> {
    StepWithGates<State, Gates> all{s, {InlineVector<typename C::Gates, 4>(depth())}};
    through_layers(x, [&](std::size_t i, Tensor in) {
      if constexpr (ProjectedCell<C>) in = layers_[i]->project(in);
      const auto one = layers_[i]->step_gates(in, s.layers[i]);
      all.state.layers[i] = one.state;
      all.gates.layers[i] = one.gates;
      return rw::output(*layers_[i], one.state);
    });
    return all;
  }

  /// The top layer's output, unless options say otherwise.
  Tensor output(const State& s) const {
    return combined([&](std::size_t i) { return rw::output(*layers_[i], s.layers[i]); });
  }
  /// The same at all positions: [T, N, out].
  Tensor outputs(const std::vector<State>& states) const {
    return combined([&](std::size_t i) {
      InlineVector<Tensor, 128> steps(states.size());
      for (std::size_t t = 0; t < states.size(); ++t) steps[t] = rw::output(*layers_[i], states[t].layers[i]);
      return stack_steps({steps.data(), steps.size()});
    });
  }

  /// See rw::unroll. The same as step by step, but layer by layer, so that each layer multiplies its inputs of all
  /// steps at once.
  void unroll(Tensor x, const State& state, std::vector<State>& states, const UnrollOptions& options) const {
    detail::check_sequence(x);
    states.assign(static_cast<std::size_t>(x.size(0)), state);
    if (states.empty()) return;
    const Scope scope(x.tape(), name());
    const Tensor input = options.lengths && options_.skip_input ? clear_padding(x, *options.lengths) : x;
    InlineVector<Tensor, 128> steps(states.size());
    for (std::size_t i = 0; i < depth(); ++i) {
      const Tensor below = x;
      if (i > 0) x = detail::stack_input(below, input, options_, training());
      detail::run_layer(*layers_[i], x, state.layers[i], options, [&](Index t, const typename C::State& s) {
        states[static_cast<std::size_t>(t)].layers[i] = s;
        steps[static_cast<std::size_t>(t)] = rw::output(*layers_[i], s);
      });
      if (i + 1 == depth()) break;
      x = stack_steps({steps.data(), steps.size()});
      if (i > 0) x = detail::stack_step(below, x, options_);
    }
  }

  /// Each layer's own.
  State last_state(const std::vector<State>& states, const UnrollOptions& options) const {
    State last = states.front();
    for (std::size_t i = 0; i < depth(); ++i) {
      const std::vector<typename C::State> ends{states.front().layers[i], states.back().layers[i]};
      last.layers[i] = rw::last_state(*layers_[i], ends, options);
    }
    return last;
  }

  Stack clone() const {
    std::vector<C> layers;
    for (const C* layer : layers_) layers.push_back(layer->clone());
    return cloned(Stack(std::move(layers), options_), *this);
  }

 private:
  /// One step: f(i, input of layer i) runs it and returns its output.
  template <class F>
  void through_layers(Tensor x, F&& f) const {
    const Tensor input = x;
    for (std::size_t i = 0; i < depth(); ++i) {
      const Scope scope(x.tape(), layers_[i]->name());
      const Tensor below = x;
      if (i > 0) x = detail::stack_input(below, input, options_, training());
      x = f(i, x);
      if (i > 0) x = detail::stack_step(below, x, options_);
    }
  }

  template <class Output>
  Tensor combined(Output&& output) const {
    if (!options_.skip_output && !options_.residual) return output(depth() - 1);
    InlineVector<Tensor, 8> all(depth());
    for (std::size_t i = 0; i < depth(); ++i) all[i] = output(i);
    return detail::stack_output({all.data(), all.size()}, options_);
  }

  StackOptions options_;
  std::vector<C*> layers_;
};

}  // namespace rw
