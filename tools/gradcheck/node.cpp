#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/own_rule.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/random.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw::detail {

void evaluate_op(const OpInfo& info, const void* op, std::span<const ConstView> x, View y) {
  if (info.elementwise != nullptr) return broadcast_loop(info.elementwise->value, op, x, y);
  std::vector<Array> packed;
  packed.reserve(x.size());
  std::vector<ConstView> in(x.begin(), x.end());
  for (ConstView& v : in)
    if (!info.strided_inputs && !v.contiguous()) v = packed.emplace_back(v);
  info.eval(op, in, y);
}

bool is_cut(const Tape& tape, NodeId id) {
  const Node& n = tape.node(id);
  const bool detach = n.info->name == Detach::name;
  if (n.needs_grad && !detach) return false;
  if (n.role == Role::parameter) return !tape.parameter_of(n)->frozen;
  // An op without a rule has no gradient by nature; with one, it was recorded under NoGrad.
  if (n.role != Role::op || (n.info->vjp == nullptr && !detach)) return false;
  for (NodeId i : n.in())
    if (tape.node(i).needs_grad) return true;
  return false;
}

bool has_own_rule(const Node& n) { return n.info->name == OwnRule::name; }

std::vector<bool> find_cuts(const Tape& tape, NodeId root) {
  std::vector<bool> found(root + 1, false);
  found[root] = true;
  for (NodeId i = root + 1; i-- > 0;) {
    if (!found[i]) continue;
    const auto in = tape.node(i).in();
    for (std::size_t k = has_own_rule(tape.node(i)) ? 1 : 0; k < in.size(); ++k) found[in[k]] = true;
  }
  for (NodeId i = 0; i <= root; ++i) found[i] = found[i] && is_cut(tape, i);
  return found;
}

std::vector<bool> ancestors(const Tape& tape, NodeId root) {
  std::vector<bool> found(root + 1, false);
  found[root] = true;
  for (NodeId i = root + 1; i-- > 0;)
    if (found[i])
      for (NodeId in : tape.node(i).in()) found[in] = true;
  return found;
}

std::string node_text(const Tape& tape, NodeId id) {
  const Node& n = tape.node(id);
  const std::string scope = tape.scope_path(n.scope);
  std::string name(n.info->name);
  if (n.role == Role::parameter) name += " '" + tape.parameter_of(n)->name + "'";
  const std::string made = n.origin == no_node ? fmt::format("node {}", id)
                                               : fmt::format("node {}, from the rule of {}, node {}", id,
                                                             tape.node(n.origin).info->name, n.origin);
  return fmt::format("{}{}{} ({})", name, scope.empty() ? "" : ", in ", scope, made);
}

Array projection(const Shape& shape, std::uint64_t seed, std::uint64_t stream) {
  Array out(shape, DType::f64);
  Rng rng = Rng(seed).split(stream);
  for (double& w : out.span<double>()) {
    const double u = rng.uniform(-1, 1);
    w = u < 0 ? u - 0.5 : u + 0.5;
  }
  return out;
}

double projected(ConstView y, std::span<const double> w) {
  if (y.size() == 0) return 0;
  double sum = 0;
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.cols(); ++c) sum += w[static_cast<std::size_t>(r * y.cols() + c)] * y.row<double>(r)[c];
  return sum;
}

LoneNode::LoneNode(const Tape& from, NodeId id)
    : info_(*from.node(id).info), op_(from.node(id).op), y_(from.node(id).shape, DType::f64), tape_(DType::f64) {
  for (NodeId in : from.node(id).in()) {
    const Node& x = from.node(in);
    inputs_.emplace_back(x.value());
    needs_.push_back(x.needs_grad && is_real(x.dtype));
  }
}

void LoneNode::record() {
  tape_.clear();
  leaves_.clear();
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    leaves_.push_back(needs_[i] ? tape_.variable(inputs_[i]) : tape_.constant(inputs_[i]));
}

std::vector<std::optional<Array>> LoneNode::gradients(const Array& dy, Path path) {
  record();
  const std::vector<Operand> operands(leaves_.begin(), leaves_.end());
  Tensor y = tape_.record(info_, op_, Operands(operands));
  std::vector<std::optional<Array>> out(inputs_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    if (needs_[i]) out[i] = Array(inputs_[i].shape(), DType::f64);
  if (!y.needs_grad()) return out;
  const Tensor cotangent = tape_.constant(dy);
  if (path == Path::recorded) {
    std::vector<Operand> x;
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      if (needs_[i]) x.emplace_back(leaves_[i]);
    const std::vector<Tensor> g = grad(y, x, {.cotangent = cotangent});
    for (std::size_t i = 0, k = 0; i < leaves_.size(); ++i)
      if (needs_[i]) out[i] = g[k++].array();
    return out;
  }
  // Twice: the second rule to run adds to what the first has left.
  if (path == Path::adding) y = rw::record(AddN{}, {y, tape_.record(info_, op_, Operands(operands))});
  Gradients none;
  backward(y, none, {.cotangent = cotangent, .keep_grads = true});
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    if (!needs_[i] || !tape_.has_grad(leaves_[i])) continue;
    out[i] = Array(tape_.grad(leaves_[i]));
    if (path == Path::adding)
      for (double& g : out[i]->span<double>()) g /= 2;
  }
  return out;
}

double LoneNode::value(std::size_t i, const Array& x, std::span<const double> w) {
  std::vector<ConstView> in(inputs_.begin(), inputs_.end());
  in[i] = x;
  evaluate_op(info_, op_, in, y_.view());
  return projected(y_, w);
}

double largest(const Array& a) {
  double m = 0;
  for (double x : a.span<double>()) m = std::max(m, std::fabs(x));
  return m;
}

}  // namespace rw::detail
