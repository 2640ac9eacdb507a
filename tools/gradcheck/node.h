#pragma once

// One op by itself, off its tape. Internal to tools/: use gradcheck.

#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw::detail {

/// y = op(x) without a tape; y is contiguous.
void evaluate_op(const OpInfo& info, const void* op, std::span<const ConstView> x, View y);

/// Whether a gradient was stopped at this node on purpose: detach, NoGrad.
bool is_cut(const Tape& tape, NodeId id);

/// The value of a function with a rule of its own, from custom_vjp and the like. Off its tape the rule cannot run, and
/// the node's value alone does not show the function.
bool has_own_rule(const Node& n);

/// The cuts that `root` is computed from, by node. The function of an own rule is recorded under NoGrad, and is no cut.
std::vector<bool> find_cuts(const Tape& tape, NodeId root);

/// The nodes that `root` is computed from, and itself.
std::vector<bool> ancestors(const Tape& tape, NodeId root);

/// "mul, in lstm/t=3 (node 17)".
std::string node_text(const Tape& tape, NodeId id);

/// A fixed random array with no symmetry: magnitudes in [0.5, 1.5), random signs.
Array projection(const Shape& shape, std::uint64_t seed, std::uint64_t stream);

/// sum of w * y.
double projected(ConstView y, std::span<const double> w);

/// A node of an f64 tape with copies of its inputs, on a tape of its own.
class LoneNode {
 public:
  LoneNode(const Tape& from, NodeId id);

  /// The ways in which the engine runs a rule.
  enum class Path { plain, adding, recorded };
  /// Gradient for each input when `dy` comes in; nothing for inputs that need none.
  std::vector<std::optional<Array>> gradients(const Array& dy, Path path);

  /// The node's value when input `i` is `x`, projected on w.
  double value(std::size_t i, const Array& x, std::span<const double> w);
  const Array& input(std::size_t i) const { return inputs_[i]; }
  bool needs(std::size_t i) const { return needs_[i]; }
  std::size_t inputs() const { return inputs_.size(); }
  const Shape& shape() const { return y_.shape(); }

 private:
  void record();

  const OpInfo& info_;
  const void* op_;
  std::vector<Array> inputs_;
  std::vector<bool> needs_;
  Array y_;
  Tape tape_;
  std::vector<Tensor> leaves_;
};

/// The largest magnitude of an array of f64.
double largest(const Array& a);

}  // namespace rw::detail
