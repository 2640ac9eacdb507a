#pragma once

#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw {

namespace detail {
class Sweep;
}  // namespace detail

struct BackwardOptions {
  /// dL/dy, of y's shape. Without it y must have one element, and 1 is taken.
  std::optional<Tensor> cotangent = std::nullopt;
  /// Keep the gradient of every node for `Tape::grad`; otherwise it is recycled once its rule has run.
  bool keep_grads = false;
  /// Recycle values during the sweep too, except y's and those marked `Tape::keep`. Reading one is then an error.
  bool release_values = false;
};

/// Gradients of parameters, apart from the parameters: one for each thread that shares a model.
class Gradients {
 public:
  /// The sum of the gradients of `p` so far; zeros when none reached it.
  Array of(const Parameter& p) const;
  /// Whether any gradient reached it.
  bool reached(const Parameter& p) const;
  /// Adds another thread's.
  void add(const Gradients& other);
  /// Adds everything to Parameter::grad.
  void commit() const;
  /// Forgets all sums.
  void clear() { sums_.clear(); }
  /// The sum itself, zeros at first, to be added to.
  Array& sum(const std::shared_ptr<Parameter::Data>& parameter);

 private:
  std::unordered_map<std::shared_ptr<Parameter::Data>, Array> sums_;
};

/// Reverse sweep from `y`: adds dy/dp to the `grad` of every parameter that `y` depends on. Strong guarantee: on a
/// throw no parameter's gradient has changed. Order of every sum: left to right, the newest consumer first. Throws
/// Error when `y` is not a scalar and no cotangent is given, when nothing below it needs a gradient, when a parameter
/// has changed since it was recorded, or when values were released.
void backward(Tensor y, const BackwardOptions& options = {});
/// The same into `into`, leaving parameters alone: for several threads that share a model.
void backward(Tensor y, Gradients& into, const BackwardOptions& options = {});

struct GradOptions {
  std::optional<Tensor> cotangent = std::nullopt;
  /// Throw Error, naming it, for an input that `y` does not depend on. Otherwise its gradient is zeros.
  bool strict = false;
};

/// dy/dx for each x, recorded as ops on the tape, so that it can be differentiated again. Operands are Tensors or
/// Parameters. Where y does not depend on x, as the gradient of a piecewise linear function does not, there are zeros.
/// Throws Error as `backward` does for a y that is no scalar and values that are gone, and for an x that is a constant.
std::vector<Tensor> grad(Tensor y, std::span<const Operand> x, const GradOptions& options = {});
std::vector<Tensor> grad(Tensor y, std::initializer_list<Operand> x, const GradOptions& options = {});
/// The same for one x.
Tensor grad(Tensor y, Operand x, const GradOptions& options = {});

/// What a gradient rule works with: `void vjp(Vjp& g) const`. The rule records ops; a plain backward evaluates them
/// straight into the gradients and takes them off the tape again.
class Vjp {
 public:
  /// Number of inputs of the node whose rule runs.
  int inputs() const;
  /// An input of the node.
  Tensor x(int input) const;
  /// Its value.
  Tensor y() const;
  /// The gradient of its value.
  Tensor dy() const;
  /// Whether this input's gradient is wanted; `add` for another does nothing.
  bool needs(int input) const;
  /// Adds `g` to the gradient of `input`. Axes along which the input was broadcast are summed.
  void add(int input, Tensor g);
  /// Adds `g` to the part of the input's gradient that begins at `start` on `axis`; the rest is as if zeros were added.
  void add_slice(int input, Tensor g, int axis, Index start);

 private:
  friend class detail::Sweep;
  NodeId input(int i) const;
  [[noreturn]] void wrong_gradient(Tensor g, NodeId to) const;
  Vjp(detail::Sweep& sweep, NodeId node, Tensor dy) : sweep_(sweep), node_(node), dy_(dy) {}
  detail::Sweep& sweep_;
  NodeId node_;
  Tensor dy_;
};

}  // namespace rw
