#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/sweep.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>

namespace rw {

using detail::TapeData;

int Vjp::inputs() const { return static_cast<int>(sweep_.tape().nodes[node_].inputs); }
Tensor Vjp::x(int input) const {
  TapeData& tape = sweep_.tape();
  return tape.tensor(tape.nodes[node_].input[input]);
}
Tensor Vjp::y() const { return sweep_.tape().tensor(node_); }
Tensor Vjp::dy() const { return dy_; }
bool Vjp::needs(int input) const { return sweep_.wants(sweep_.tape().nodes[node_].input[input]); }
void Vjp::add(int input, Tensor g) { sweep_.add(sweep_.tape().nodes[node_].input[input], g); }
void Vjp::add_slice(int input, Tensor g, int axis, Index start) {
  sweep_.add_slice(sweep_.tape().nodes[node_].input[input], g, axis, start);
}

namespace detail {

NodeId checked_root(TapeData& tape, Tensor y, const std::optional<Tensor>& cotangent) {
  const NodeId root = tape.id(y);
  const Node& n = tape.nodes[root];
  if (tape.lazy) throw Error("backward cannot be called from a gradient rule");
  if (!cotangent.has_value() && n.shape.size() != 1)
    throw Error(tape.describe(root) +
                ": backward starts from a scalar, such as a mean or a sum of it; or pass {.cotangent = dL/dy}");
  if (cotangent.has_value() && !(cotangent->shape() == n.shape))
    throw Error(tape.describe(root) + ": the cotangent must have this shape, not " + cotangent->shape().str());
  if (!n.needs_grad)
    throw Error(
        tape.describe(root) +
        ": nothing it depends on needs a gradient: every parameter is frozen, detached, or was used under NoGrad");
  for (const TapeData::Leaf& leaf : tape.leaves)
    if (!leaf.substituted && leaf.version != leaf.parameter->version && leaf.node <= root &&
        tape.nodes[leaf.node].needs_grad)
      throw Error(
          "parameter '" + leaf.parameter->name +
          "' was changed after it was recorded: go backward before an optimizer's step, and record the next step "
          "on a cleared tape");
  return root;
}

namespace {

void check_values(const TapeData& tape, NodeId root) {
  if (tape.options.trace) return;
  for (NodeId i = 0; i <= root; ++i)
    if (tape.nodes[i].data == nullptr && tape.nodes[i].needs_grad && tape.nodes[i].role == Role::op)
      throw Error(tape.describe(i) +
                  ": its value was released by an earlier backward: record it again, or go backward "
                  "without release_values");
}

void run_backward(Tensor y, Gradients* into, const BackwardOptions& options) {
  TapeData& tape = TapeData::of(y);
  const NodeId root = checked_root(tape, y, options.cotangent);
  if (!tape.options.trace) {
    check_values(tape, root);
    return plain_backward(tape, root, into, options);
  }
  if (into != nullptr) throw Error("backward into Gradients cannot be traced by compile: let it go to the parameters");
  std::vector<NodeId> leaves;
  std::vector<std::shared_ptr<Parameter::Data>> parameters;
  for (const TapeData::Leaf& leaf : tape.leaves)
    if (tape.nodes[leaf.node].needs_grad) {
      leaves.push_back(leaf.node);
      parameters.push_back(leaf.parameter);
    }
  const std::vector<NodeId> gradients = recorded_backward(tape, root, leaves, options.cotangent);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (gradients[i] != no_node) tape.effects.emplace_back(parameters[i], gradients[i]);
}

}  // namespace
}  // namespace detail

void backward(Tensor y, const BackwardOptions& options) { detail::run_backward(y, nullptr, options); }
void backward(Tensor y, Gradients& into, const BackwardOptions& options) { detail::run_backward(y, &into, options); }

std::vector<Tensor> grad(Tensor y, std::span<const Operand> x, const GradOptions& options) {
  TapeData& tape = TapeData::of(y);
  const NodeId root = detail::checked_root(tape, y, options.cotangent);
  detail::check_values(tape, root);
  std::vector<NodeId> ids;
  for (const Operand& operand : x) {
    const NodeId id = tape.resolve(operand);
    if (!tape.nodes[id].needs_grad)
      throw Error(tape.describe(id) + ": has no gradient: make it with tape.variable(), or use an unfrozen parameter");
    ids.push_back(id);
  }
  const std::vector<NodeId> found = detail::recorded_backward(tape, root, ids, options.cotangent);
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (found[i] == no_node && options.strict)
      throw Error(tape.describe(ids[i]) + ": " + tape.describe(root) + " does not depend on it (strict)");
    out.push_back(found[i] == no_node ? tape.owner->constant(0, tape.nodes[ids[i]].shape) : tape.tensor(found[i]));
  }
  return out;
}
std::vector<Tensor> grad(Tensor y, std::initializer_list<Operand> x, const GradOptions& options) {
  return grad(y, std::span<const Operand>(x.begin(), x.size()), options);
}
Tensor grad(Tensor y, Operand x, const GradOptions& options) { return grad(y, {&x, 1}, options)[0]; }

Array Gradients::of(const Parameter& p) const {
  const auto found = sums_.find(p.data());
  return found == sums_.end() ? Array(p.shape(), p.dtype()) : found->second;
}
bool Gradients::reached(const Parameter& p) const { return sums_.contains(p.data()); }
void Gradients::add(const Gradients& other) {
  for (const auto& [parameter, theirs] : other.sums_) add_into(theirs, sum(parameter).view());
}
Array& Gradients::sum(const std::shared_ptr<Parameter::Data>& parameter) {
  return sums_.try_emplace(parameter, parameter->value.shape(), parameter->value.dtype()).first->second;
}
void Gradients::commit() const {
  for (const auto& [parameter, sum] : sums_) add_into(sum, parameter->grad.view());
}

}  // namespace rw
