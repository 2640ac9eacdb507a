#pragma once

// The reverse sweep. Internal to autograd/: use backward and grad.

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include <rewind/autograd/detail/tape_data.h>

namespace rw::detail {

/// Which rule of an op a sweep runs: that of its gradient, or the transpose of its derivative along a direction, where
/// an op says that it is another one (OpInfo::transposed_jvp).
enum class Rule : std::uint8_t { gradient, derivative };

/// One reverse sweep over a tape: what a gradient rule talks to through Vjp. Two kinds exist: PlainSweep adds numbers
/// in place, RecordedSweep records ops.
class Sweep {
 public:
  explicit Sweep(TapeData& tape) : tape_(tape) {}
  virtual ~Sweep() = default;
  virtual bool wants(NodeId node) const { return tape_.nodes[node].needs_grad; }
  virtual void add(NodeId to, Tensor g) = 0;
  virtual void add_slice(NodeId to, Tensor g, int axis, Index start) = 0;
  TapeData& tape() { return tape_; }

 protected:
  void run_rule(NodeId node, Tensor dy, Rule which = Rule::gradient) {
    Vjp rule(*this, node, dy);
    const Node& n = tape_.nodes[node];
    const bool transposes = which == Rule::derivative && n.info->transposed_jvp != nullptr;
    (transposes ? n.info->transposed_jvp : n.info->vjp)(n.op, rule);
  }
  TapeData& tape_;
};

/// Node `y` of `tape`, and its cotangent, checked: throws Error when there is nothing to differentiate.
NodeId checked_root(TapeData& tape, Tensor y, const std::optional<Tensor>& cotangent);

/// Throws Error unless `grad` fits the parameter: it is the user's to replace.
void check_gradient(const Parameter::Data& parameter, ConstView grad);

/// Adds dy/dp to `into`, or to Parameter::grad when it is null.
void plain_backward(TapeData& tape, NodeId root, Gradients* into, const BackwardOptions& options);

/// Gradients of parameters, of the tape's type, that go on growing from tape to tape.
using LeafSums = std::unordered_map<std::shared_ptr<Parameter::Data>, Array>;

/// A node and its cotangent; without it the node has one element, and 1 is taken.
struct Seed {
  NodeId node = no_node;
  std::optional<ConstView> cotangent;
};

/// The sweep from several nodes at once. Parameters' gradients go on from those in `sums`, and stay there.
void split_backward(TapeData& tape, std::span<const Seed> seeds, LeafSums& sums);

/// A node and the node that is its cotangent.
struct Root {
  NodeId node = no_node, cotangent = no_node;
};

/// Records the gradients of `roots`, taken together, for the nodes `x`; no_node where they do not depend on x. Visits
/// the nodes from the first of x to the last root only.
std::vector<NodeId> recorded_backward(TapeData& tape, std::span<const Root> roots, std::span<const NodeId> x,
                                      Rule rule = Rule::gradient);

struct GradientPart;

/// The same along what was recorded from node `from` on, before which x lies: of what flows into each x the parts, in
/// the order of their sum.
std::vector<std::vector<GradientPart>> gradient_parts_since(TapeData& tape, NodeId from, std::span<const Root> roots,
                                                            std::span<const NodeId> x);

/// Throws Error when a rule on the way down from `root` would read a parameter that has changed since, or a value that
/// was released.
void check_readable(TapeData& tape, NodeId root);

}  // namespace rw::detail
