#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/detail/sweep.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>

namespace rw {

using detail::TapeData;

int Vjp::inputs() const { return static_cast<int>(sweep_.tape().nodes[node_].arity); }
NodeId Vjp::input(int i) const {
  const Node& n = sweep_.tape().nodes[node_];
  if (i < 0 || i >= inputs())
    throw Error(fmt::format("[{}] its gradient rule asks for input {} of {}", n.info->name, i, inputs()));
  return n.input[i];
}
Tensor Vjp::x(int i) const { return sweep_.tape().tensor(input(i)); }
Tensor Vjp::y() const { return sweep_.tape().tensor(node_); }
Tensor Vjp::dy() const { return dy_; }
bool Vjp::needs(int i) const { return sweep_.wants(input(i)); }
void Vjp::add(int i, Tensor g) {
  const NodeId to = input(i);
  if (!is_real(g.dtype())) throw_wrong_gradient(g, to);
  sweep_.add(to, g);
}
void Vjp::add_slice(int i, Tensor g, int axis, Index start) {
  const NodeId to = input(i);
  const Shape &whole = sweep_.tape().nodes[to].shape, part = g.shape();
  const bool fits = axis >= 0 && axis < whole.rank() && part.rank() == whole.rank() && start >= 0 &&
                    part[axis] <= whole[axis] - start && part == whole.with(axis, part[axis]);
  if (!fits || !is_real(g.dtype())) throw_wrong_gradient(g, to);
  sweep_.add_slice(to, g, axis, start);
}
void Vjp::throw_wrong_gradient(Tensor g, NodeId to) const {
  const TapeData& tape = sweep_.tape();
  throw Error(fmt::format("[{}] its gradient rule gives {} {} to input {}, or to a part that it does not have",
                          tape.nodes[node_].info->name, name_of(g.dtype()), g.shape().str(), tape.describe(to)));
}

namespace detail {

namespace {

// Marks the nodes whose values rules may read on the way down from `root`.
const std::vector<bool>& read_by_rules(TapeData& tape, NodeId root) {
  std::vector<bool>& read = tape.flags;
  read.assign(tape.nodes.size(), false);
  read[root] = true;
  for (NodeId i = root + 1; i-- > 0;)
    if (read[i] && tape.nodes[i].needs_grad)
      for (NodeId in : tape.nodes[i].in()) read[in] = true;
  return read;
}

// A leaf looks at its parameter's storage: when that has changed, rules would read other numbers than their ops did.
void check_leaves(TapeData& tape, NodeId root) {
  const auto changed = [](const TapeData::ReadParameter& l) {
    return !l.substituted && l.version != l.parameter->version;
  };
  if (std::none_of(tape.leaves.begin(), tape.leaves.end(), changed)) return;
  const std::vector<bool>& read = read_by_rules(tape, root);
  for (const TapeData::ReadParameter& leaf : tape.leaves)
    if (changed(leaf) && read[leaf.node])
      throw Error(
          "parameter '" + leaf.parameter->name +
          "' was changed after it was recorded: go backward before an optimizer's step, and record the next step "
          "on a cleared tape");
}

void check_values(TapeData& tape, NodeId root) {
  if (!tape.has_released) return;
  const std::vector<bool>& read = read_by_rules(tape, root);
  for (NodeId i = 0; i <= root; ++i)
    if (read[i] && tape.nodes[i].data == nullptr)
      throw Error(tape.describe(i) +
                  ": its value was released by an earlier backward: record it again, or go backward "
                  "without release_values");
}

}  // namespace

void check_readable(TapeData& tape, NodeId root) {
  check_leaves(tape, root);
  check_values(tape, root);
}

namespace {

// Node `y`, and that a gradient can start from it.
NodeId starting_root(TapeData& tape, Tensor y, const std::optional<Tensor>& cotangent) {
  const NodeId root = tape.id(y);
  const Node& n = tape.nodes[root];
  if (tape.lazy) throw Error("backward cannot be called from a gradient rule");
  if (!cotangent.has_value() && n.shape.size() != 1)
    throw Error(tape.describe(root) +
                ": backward starts from a scalar, such as a mean or a sum of it; or pass {.cotangent = dL/dy}");
  if (cotangent.has_value() && &cotangent->tape().data() != &tape)
    throw Error(tape.describe(root) +
                ": the cotangent is of another tape: carry it over with tape.constant(t.array())");
  if (cotangent.has_value() && !(cotangent->shape() == n.shape))
    throw Error(tape.describe(root) + ": the cotangent must have this shape, not " + cotangent->shape().str());
  return root;
}

}  // namespace

NodeId checked_root(TapeData& tape, Tensor y, const std::optional<Tensor>& cotangent) {
  const NodeId root = starting_root(tape, y, cotangent);
  if (tape.in_rule) throw Error("backward cannot be called from a gradient rule");
  if (!tape.nodes[root].needs_grad)
    throw Error(
        tape.describe(root) +
        ": nothing it depends on needs a gradient: every parameter is frozen, detached, or was used under NoGrad");
  check_readable(tape, root);
  tape.gradients_taken = true;
  return root;
}

namespace {

Root with_cotangent(TapeData& tape, NodeId root, const std::optional<Tensor>& cotangent) {
  return {root, tape.id(cotangent.has_value() ? *cotangent : tape.owner->constant(1, tape.nodes[root].shape))};
}

std::vector<Tensor> recorded_gradients(TapeData& tape, NodeId root, std::span<const Operand> x,
                                       const GradOptions& options) {
  std::vector<NodeId> ids;
  for (const Operand& operand : x) {
    const NodeId id = tape.resolve(operand);
    if (!tape.nodes[id].needs_grad)
      throw Error(tape.describe(id) + ": has no gradient: make it with tape.variable(), or use an unfrozen parameter");
    ids.push_back(id);
  }
  std::vector<NodeId> found(ids.size(), no_node);
  if (tape.nodes[root].needs_grad) {
    check_readable(tape, root);
    tape.gradients_taken = true;
    const Root start = with_cotangent(tape, root, options.cotangent);
    found = recorded_backward(tape, {&start, 1}, ids);
  }
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (found[i] == no_node && options.strict)
      throw Error(tape.describe(ids[i]) + ": " + tape.describe(root) + " does not depend on it (strict)");
    out.push_back(found[i] == no_node ? tape.owner->constant(0, tape.nodes[ids[i]].shape) : tape.tensor(found[i]));
  }
  return out;
}

void run_backward(Tensor y, Gradients* into, const BackwardOptions& options) {
  TapeData& tape = TapeData::of(y);
  const NodeId root = checked_root(tape, y, options.cotangent);
  if (!tape.options.trace) detail::refuse_in_trace("backward runs on a tape that is not the traced one");
  if (!tape.options.trace && into == nullptr && tape.gradients_to != nullptr) {
    BackwardOptions kept = options;
    kept.release_values = false;  // results are looked at after it
    return plain_backward(tape, root, tape.gradients_to, kept);
  }
  if (!tape.options.trace) return plain_backward(tape, root, into, options);
  if (tape.in_section)
    throw Error("backward adds to parameters, which a function that is differentiated or batched cannot do: use grad");
  if (into != nullptr) throw Error("backward into Gradients cannot be traced by compile: let it go to the parameters");
  std::vector<NodeId> leaves;
  std::vector<std::shared_ptr<Parameter::Data>> parameters;
  for (const TapeData::ReadParameter& leaf : tape.leaves)
    if (tape.nodes[leaf.node].needs_grad) {
      leaves.push_back(leaf.node);
      parameters.push_back(leaf.parameter);
    }
  const Root start = with_cotangent(tape, root, options.cotangent);
  const std::vector<NodeId> gradients = recorded_backward(tape, {&start, 1}, leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (gradients[i] != no_node) tape.effects.emplace_back(parameters[i], gradients[i]);
}

}  // namespace
}  // namespace detail

void backward(Tensor y, const BackwardOptions& options) { detail::run_backward(y, nullptr, options); }
void backward(Tensor y, Gradients& into, const BackwardOptions& options) { detail::run_backward(y, &into, options); }

std::vector<Tensor> grad(Tensor y, std::span<const Operand> x, const GradOptions& options) {
  TapeData& tape = TapeData::of(y);
  const NodeId root = detail::starting_root(tape, y, options.cotangent);
  const TapeMark before = tape.mark();
  try {
    return detail::recorded_gradients(tape, root, x, options);
  } catch (...) {
    tape.truncate(before);
    throw;
  }
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
  detail::refuse_in_trace("Gradients::commit is called");
  for (const auto& [parameter, sum] : sums_) parameter->check_grad();
  for (const auto& [parameter, sum] : sums_) add_into(sum, parameter->grad.view());
}

}  // namespace rw
