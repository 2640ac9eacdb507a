#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/tools/gradcheck/function.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw::detail {
namespace {

Tensor sum_of_products(Tape& tape, Tensor y, std::uint64_t seed, std::uint64_t stream) {
  return rw::record(SumTo{Shape{}}, {mul(tape.constant(projection(y.shape(), seed, stream)), y)});
}

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

CheckedFunction::CheckedFunction(const RecordFunction& function, std::span<const CheckedParameters::Item> items,
                                 int order, std::uint64_t seed)
    : function_(function), order_(order), seed_(seed), base_(DType::f64), probe_(DType::f64) {
  for (const auto& item : items) {
    if (item.parameter == nullptr) throw Error("gradcheck: parameter '" + item.name + "' is null");
    const bool known = std::any_of(leaves_.begin(), leaves_.end(),
                                   [&](const Leaf& l) { return l.parameter->tied_to(*item.parameter); });
    if (known) continue;
    Leaf leaf;
    leaf.name = item.name;
    leaf.parameter = item.parameter;
    leaf.value = item.parameter->value().to(DType::f64);
    leaf.frozen = item.parameter->frozen();
    leaf.gradient = Array(leaf.value.shape(), DType::f64);
    leaves_.push_back(std::move(leaf));
  }
  const Tensor y = record(base_, true);
  root_ = base_.id(y);
  f0_ = y.item();
  if (!std::isfinite(f0_)) {
    base_.check_finite();
    throw Error(fmt::format("gradcheck: the function's value is {}: check it where it is finite", f0_));
  }
  find_cuts();
  differentiate();
}

Tensor CheckedFunction::record(Tape& tape, bool base) {
  ++evaluations_;
  Tensor y = function_(tape);
  if (&y.tape() != &tape) throw Error("gradcheck: the function must record on the tape that it is given");
  if (!is_real(y.dtype())) throw Error("gradcheck: the function's result holds indices (i32), which have no gradient");
  if (y.size() == 0) throw Error("gradcheck: the function's result is empty, of shape " + y.shape().str());
  if (y.size() != 1) y = sum_of_products(tape, y, seed_, 0);
  return order_ == 1 ? y : project_gradient(tape, y, base);
}

Tensor CheckedFunction::project_gradient(Tape& tape, Tensor y, bool base) {
  std::vector<Operand> x;
  std::vector<std::size_t> of;
  if (y.needs_grad())
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      if (!leaves_[i].frozen && tape.leaf(*leaves_[i].parameter).needs_grad()) {
        x.emplace_back(*leaves_[i].parameter);
        of.push_back(i);
      }
  if (x.empty())
    throw Error("gradcheck: " + tape.describe(tape.id(y)) + " depends on no parameter that needs a gradient");
  const std::vector<Tensor> g = grad(y, x);
  Tensor sum;
  for (std::size_t k = 0; k < g.size(); ++k) {
    if (g[k].size() == 0) continue;
    const Tensor part = sum_of_products(tape, g[k], seed_, 1 + of[k]);
    sum = k == 0 ? part : add(sum, part);
    if (base) leaves_[of[k]].recorded = g[k].array();
  }
  return sum;
}

void CheckedFunction::differentiate() {
  const Tensor y = base_.tensor(root_);
  if (order_ == 1 || y.needs_grad()) {
    Gradients none;
    backward(y, none, {.keep_grads = true});
  }
  const std::vector<bool> used = ancestors(base_, root_);
  for (NodeId i = 0; i <= root_; ++i) {
    const Node& n = base_.node(i);
    if (n.role != Role::parameter || !used[i]) continue;
    for (Leaf& leaf : leaves_) {
      if (leaf.parameter->data() != base_.parameter_of(n)) continue;
      leaf.on_tape = true;
      if (!base_.has_grad(base_.tensor(i))) continue;
      leaf.reached = true;
      const Array g(base_.grad(base_.tensor(i)));
      for (Index k = 0; k < g.size(); ++k)
        leaf.gradient.span<double>()[static_cast<std::size_t>(k)] += g.span<double>()[static_cast<std::size_t>(k)];
    }
  }
}

void CheckedFunction::check_instead(std::span<const CheckedParameters::Item> items, std::span<const Array> gradients) {
  for (std::size_t k = 0; k < items.size(); ++k)
    for (Leaf& leaf : leaves_)
      if (leaf.parameter->tied_to(*items[k].parameter)) leaf.gradient = gradients[k].to(DType::f64);
}

void CheckedFunction::find_cuts() {
  const std::vector<bool> cut = detail::find_cuts(base_, root_);
  for (NodeId i = 0; i <= root_; ++i)
    if (cut[i]) cuts_.push_back(i);
}

void CheckedFunction::renew_probe() {
  probe_.clear();
  probe_.set_step(base_.step());
}

double CheckedFunction::at(std::size_t i, Array value) {
  renew_probe();
  probe_.substitute(*leaves_[i].parameter, std::move(value));
  const Tensor y = record(probe_, false);
  probe_.restore(*leaves_[i].parameter);
  return cuts_.empty() ? y.item() : held_value(probe_, probe_.id(y));
}

bool CheckedFunction::deterministic() {
  renew_probe();
  const Tensor y = record(probe_, false);
  return same_bits(y.item(), f0_);
}

// What was computed from a cut is computed again from the value that the cut has when nothing is perturbed.
double CheckedFunction::held_value(const Tape& tape, NodeId root) const {
  const std::vector<bool> used = ancestors(tape, root), is_held = detail::find_cuts(tape, root);
  std::vector<Array> again(root + 1);
  std::vector<bool> changed(root + 1, false);
  std::size_t cut = 0;
  const auto value = [&](NodeId i) { return changed[i] ? again[i].view() : ConstView(tape.node(i).value()); };
  std::vector<ConstView> x;
  for (NodeId i = 0; i <= root; ++i) {
    if (!used[i]) continue;
    const Node& n = tape.node(i);
    if (is_held[i]) {
      if (cut == cuts_.size() || base_.node(cuts_[cut]).shape != n.shape)
        throw Error(
            "gradcheck: the function records another graph, with other cuts, when a parameter changes a little: " +
            node_text(tape, i));
      again[i] = Array(base_.node(cuts_[cut++]).value());
      changed[i] = true;
      continue;
    }
    x.clear();
    for (NodeId in : n.in()) {
      changed[i] = changed[i] || changed[in];
      x.push_back(value(in));
    }
    if (!changed[i]) continue;
    again[i] = Array(n.shape, n.dtype);
    evaluate_op(*n.info, n.op, x, again[i].view());
  }
  return Array(value(root)).item();
}

}  // namespace rw::detail
