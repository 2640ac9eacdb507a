#pragma once

#include <functional>
#include <span>
#include <vector>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/transform/differentiation.h>

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
Tensor joined(std::span<const Tensor> all);
std::vector<Tensor> parted(const Tensor& whole, std::span<const Shape> shapes);

/// Nodes before `mark` that need a gradient and are read by what was recorded since, which is forgotten here; the draws
/// are as they were then. Parameters that were first used since have leaves afterwards.
std::vector<Tensor> forget_and_name_inputs(TapeData& tape, const TapeMark& mark);

/// What a function saw besides its arguments when it ran: it can run again in the same surroundings.
class Surroundings {
 public:
  explicit Surroundings(const TapeData& tape) : draws_(tape.draws), scope_(tape.scope), bindings_(tape.bindings) {}
  /// f() in them, with gradients recorded.
  std::vector<Tensor> run(TapeData& tape, const std::function<std::vector<Tensor>()>& f) const;

 private:
  std::uint32_t draws_, scope_;
  TapeData::Bindings bindings_;
};

std::vector<Tensor> negated(std::span<const Tensor> x);
std::vector<Array> arrays_of(std::span<const Tensor> x);
std::vector<Tensor> constants(Tape& tape, std::span<const Array> values);

}  // namespace rw::detail
