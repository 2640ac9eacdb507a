#pragma once

#include <concepts>
#include <span>
#include <string>
#include <string_view>

#include <rewind/autograd/tape.h>
#include <rewind/models/init.h>
#include <rewind/models/module.h>
#include <rewind/models/state.h>

namespace rw {

/// A recurrent cell: its State, the state before the first step, and one step. Everything that works on sequences takes
/// any such type: a user's own, too.
template <class C>
concept Cell = requires(const C& cell, Tape& tape, Index batch, Tensor x, typename C::State state) {
  { cell.zero_state(tape, batch) } -> std::same_as<typename C::State>;
  { cell.step(x, state) } -> std::same_as<typename C::State>;
};

/// A cell whose step begins with a product of the input alone, so that `unroll` can take it out of the loop, one
/// product for all steps: step(x, s) is step_projected(project(x), s). `project` takes any leading axes.
template <class C>
concept ProjectedCell = Cell<C> && requires(const C& cell, Tensor x, typename C::State state) {
  { cell.project(x) } -> std::same_as<Tensor>;
  { cell.step_projected(x, state) } -> std::same_as<typename C::State>;
};

/// A step's state, and the gates that made it.
template <class State, class Gates>
struct StepWithGates {
  State state;
  Gates gates;
};

/// A cell whose gates can be looked at. Gates is an aggregate of Tensors and a static list of their `names`: all that a
/// step computes on the way to the state and that has a name in its equations. `step_gates` is the step itself (of a
/// ProjectedCell its step_projected), so asking for gates records nothing more.
template <class C>
concept CellWithGates = Cell<C> && requires(const C& cell, Tensor x, const typename C::State& state) {
  { cell.step_gates(x, state) } -> std::same_as<StepWithGates<typename C::State, typename C::Gates>>;
};

/// The names of a cell's gates, in the order of Gates; none for a cell that does not tell.
template <Cell C>
std::span<const std::string_view> gate_names(const C& cell) {
  if constexpr (requires { cell.gate_names(); })
    return cell.gate_names();
  else if constexpr (requires { C::Gates::names; })
    return C::Gates::names;
  else
    return {};
}

/// What a step gives to the layer above: the state's h. A cell whose output is something else has a member
/// `Tensor output(const State&) const`.
template <class C>
Tensor output(const C& cell, const typename C::State& state) {
  if constexpr (requires { cell.output(state); })
    return cell.output(state);
  else
    return state.h;
}

/// The length of the output's last axis.
template <Cell C>
Index output_width(const C& cell) {
  Tape tape;
  return output(cell, cell.zero_state(tape, 1)).size(-1);
}

/// A state of empty handles, in the structure that the cell's states have. A cell whose State has a vector has a member
/// `State empty_state() const`.
template <class C>
typename C::State empty_state(const C& cell) {
  if constexpr (requires { cell.empty_state(); })
    return cell.empty_state();
  else
    return {};
}

/// The scope of a cell's ops.
template <class C>
std::string scope_name(const C& cell) {
  if constexpr (requires { cell.name(); })
    return cell.name();
  else
    return "cell";
}

/// Bias vectors of a layer: none; one; or two, one with each matrix, as PyTorch and cuDNN have it.
enum class Bias { none, one, two };

/// What the cells of the library share.
struct CellOptions {
  Bias bias = Bias::one;
  /// Start of W [in, gates * hidden] and of R [hidden, gates * hidden], for each gate by itself, and of the biases.
  Init weights = Init::glorot();
  Init recurrent = Init::orthogonal();
  Init biases = Init::constant(0);
};

/// These fields of a cell's own options, which have them too, so that `{.bias = Bias::two, .forget_bias = 0}` works.
template <class Options>
CellOptions common_options(const Options& o) {
  return {.bias = o.bias, .weights = o.weights, .recurrent = o.recurrent, .biases = o.biases};
}

/// What the library's cells are made of: W [in, gates * hidden], R [fed back, gates * hidden], b and, for two biases,
/// br, both [gates * hidden]. What is fed back is as wide as the state's h, or the output that stands for it.
class GatedCell : public Module {
 public:
  /// Width of the input.
  Index in() const { return in_; }
  /// Width of the hidden state.
  Index hidden() const { return hidden_; }

  /// The part of a step that depends on the input alone, x W + b: x [..., in], or indices [...] of i32, each of which
  /// stands for the one-hot row of its value -> [..., gates * hidden].
  Tensor project(Tensor x) const { return biased(multiplied(x), b_); }

 protected:
  struct Sizes {
    Index in, hidden, gates, fed_back;
  };
  /// Throws Error for sizes below 1.
  GatedCell(const char* name, const Sizes& sizes, Rng& rng, const CellOptions& options);

  /// x W, or rows of W for indices.
  Tensor multiplied(Tensor x) const;
  /// h R + br.
  Tensor recur(Tensor h) const;
  /// x + bias; x without one.
  static Tensor biased(Tensor x, Parameter* bias);
  /// A hidden state of zeros.
  Tensor zeros(Tape& tape, Index batch) const { return tape.constant(0.0, {batch, hidden_}); }

  Index in_, hidden_;
  Parameter &W_, &R_;
  Parameter *b_, *br_;
};

}  // namespace rw
