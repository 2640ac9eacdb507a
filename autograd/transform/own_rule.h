#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <rewind/autograd/transform/differentiation.h>
#include <rewind/autograd/transform/section.h>

namespace rw::detail {

/// Input 0's value, whose gradient rule is one that the tape keeps under a number: the gradients of the other inputs.
struct OwnRule {
  static constexpr std::string_view name = "own_rule";
  static constexpr bool same_value = true;
  static constexpr bool strided_inputs = true;
  Index rule = 0;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  bool alias(ConstView x, ConstView& y) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
};

/// -x.
struct Negative {
  static constexpr std::string_view name = "negative";
  static constexpr bool leading_axes = true;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
};

/// Gradients of the inputs, given these (the inputs, the values and the values' cotangents).
using FlatRule = std::function<std::vector<Tensor>(std::span<const Tensor> x, std::span<const Tensor> y,
                                                   std::span<const Tensor> dy)>;

/// `values` again, with `rule` as the gradient for `inputs`, which are real. Throws Error, when it runs, for a rule
/// that gives another number of gradients or other shapes; `name` is in the message.
std::vector<Tensor> with_rule(std::string_view name, Tape& tape, std::span<const Tensor> inputs,
                              std::span<const Tensor> values, FlatRule rule);

/// A value that was computed aside, again as nodes: `rule` runs as an op's gradient rule does, input 0 is the value and
/// the others are `inputs`.
Tensor with_plain_rule(Tape& tape, std::span<const Tensor> inputs, const Tensor& value, std::function<void(Vjp&)> rule);
/// The tensors of an argument: `indices`, where there are some, and else the next of `real`. Throws Error for indices
/// that are gone.
std::vector<Tensor> with_indices(std::span<const Tensor> real, std::span<const std::optional<Tensor>> indices);
Tensor joined(std::span<const Tensor> all);
std::vector<Tensor> parted(const Tensor& whole, std::span<const Shape> shapes);

/// Nodes before `mark` that need a gradient and are read by what was recorded since, which is forgotten here; the draws
/// are as they were then. Parameters that were first used since have leaves afterwards.
std::vector<Tensor> forget_and_name_inputs(TapeData& tape, const TapeMark& mark);

/// What a function saw besides its arguments when it ran: it can run again in the same surroundings.
class Surroundings {
 public:
  explicit Surroundings(const TapeData& tape);
  /// f() in them, with gradients recorded.
  std::vector<Tensor> run(TapeData& tape, const std::function<std::vector<Tensor>()>& f) const;

 private:
  std::uint32_t draws_, scope_;
  std::vector<std::pair<std::shared_ptr<Parameter::Data>, NodeId>> bindings_;
};

/// A function that a gradient rule calls again. Within vmap, whose Tensors stand for one example and end with it, it is
/// kept as data; elsewhere it is called.
class Again {
 public:
  using Function = std::function<std::vector<Tensor>(std::span<const Tensor>)>;
  /// Runs f once, of stand-ins for `arguments`; the tape is as it was, but for leaves of parameters.
  Again(std::string_view name, Tape& tape, Function f, std::span<const Tensor> arguments);
  /// What f reads from the tape that a gradient can reach.
  const std::vector<Tensor>& inputs() const { return inputs_; }
  /// The shapes of what it gives.
  const std::vector<Shape>& shapes() const { return shapes_; }
  /// f of these, where `inputs` are what the rule is given for inputs(). Throws Error for indices of one example.
  std::vector<Tensor> operator()(std::span<const Tensor> arguments, std::span<const Tensor> inputs) const;

 private:
  void keep_as_data(std::span<const Tensor> arguments);

  std::string name_;
  TapeData& tape_;
  Function f_;
  Surroundings surroundings_;
  std::vector<Tensor> inputs_;
  std::vector<Shape> shapes_;
  std::shared_ptr<const Section> section_;
  std::vector<Index> place_;  // of section_'s outside tensors among the inputs; -1: indices
};

std::vector<Tensor> negated(std::span<const Tensor> x);
std::vector<Array> arrays_of(std::span<const Tensor> x);
std::vector<Tensor> constants(Tape& tape, std::span<const Array> values);

}  // namespace rw::detail
