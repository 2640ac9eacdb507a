#include <algorithm>
#include <cstring>

#include <rewind/autograd/compile/check/reference.h>
#include <rewind/core/reduce.h>

namespace rw::ir {

Reference::Reference(const Graph& g, DType real, const Call& call, double noise, std::uint64_t draw)
    : g_(g), tape_(TapeOptions{.dtype = real}) {
  if (noise != 0) noise_.emplace(noise, draw);
  const NoGrad no_grad(tape_);
  values_.reserve(g.size());
  std::vector<Operand> in;
  for (NodeId i = 0; i < g.size(); ++i) {
    const Node& n = g.nodes[i];
    if (n.info == &op_info<Fill>()) {
      values_.push_back(tape_.constant(static_cast<const Fill*>(n.op)->value, n.shape));
    } else if (!computes(*n.info)) {
      values_.push_back(leaf(n, call));
    } else {
      in.clear();
      for (NodeId x : g.in(i)) in.emplace_back(values_[x]);
      values_.push_back(noisy(i, tape_.record(*n.info, n.op, in)));
    }
  }
}

Tensor Reference::leaf(const Node& n, const Call& call) {
  if (n.role == Role::parameter) return noisy_leaf(g_.store->parameters[n.leaf]->value);
  if (n.role == Role::constant) return noisy_leaf(g_.store->constants[n.leaf]);
  if (n.leaf != random_key_leaf) return noisy_leaf(call.inputs[n.leaf]);
  const std::uint64_t words[] = {call.seed, call.step};
  Array key(Shape{4}, DType::i32);
  std::memcpy(key.view().data, words, sizeof words);
  return tape_.constant(key);
}

Tensor Reference::noisy_leaf(ConstView value) {
  if (!noise_.has_value() || !is_real(value.dtype)) return tape_.constant(value);
  Array moved = Array(value).to(tape_.dtype());
  noise_->move_leaf(moved);
  return tape_.constant(moved);
}

Tensor Reference::noisy(NodeId i, Tensor value) {
  if (!noise_.has_value() || g_.nodes[i].info->alias != nullptr) return value;
  std::vector<ConstView> x;
  for (NodeId in : g_.in(i)) x.push_back(values_[in].value());
  Array moved(value.value());
  noise_->move(g_, i, x, moved);
  return tape_.constant(moved);
}

Outcome Reference::outcome() const {
  Outcome out;
  for (NodeId o : g_.outputs) out.results.emplace_back(value(o));
  out.gradients.assign(g_.store->parameters.size(), Array(Shape{0}));
  for (const Effect& e : g_.effects) {
    Array& sum = out.gradients[e.parameter];
    const Shape& shape = g_.store->parameters[e.parameter]->value.shape();
    if (!(sum.shape() == shape)) sum = Array(shape, tape_.dtype());
    add_into(value(e.value), sum.view());
  }
  return out;
}

bool same_graph(const Graph& a, const Graph& b, NodeId& where) {
  const auto same_constant = [&](const Node& x, const Node& y) {
    const Array &p = a.store->constants[x.leaf], &q = b.store->constants[y.leaf];
    return p.dtype() == q.dtype() &&
           std::memcmp(p.view().data, q.view().data, static_cast<std::size_t>(p.size()) * size_of(p.dtype())) == 0;
  };
  const auto same = [&](NodeId i) {
    const Node &x = a.nodes[i], &y = b.nodes[i];
    if (x.info != y.info || !(x.shape == y.shape) || x.dtype != y.dtype || x.role != y.role) return false;
    if (!std::equal(a.in(i).begin(), a.in(i).end(), b.in(i).begin(), b.in(i).end())) return false;
    if (x.role == Role::parameter) return a.store->parameters[x.leaf] == b.store->parameters[y.leaf];
    if (computes(*x.info)) return x.info->attribute_size == 0 || x.info->equal(x.op, y.op);
    return x.role == Role::constant ? same_constant(x, y) : x.leaf == y.leaf;
  };
  for (where = 0; where < std::min(a.size(), b.size()); ++where)
    if (!same(where)) return false;
  const auto same_effect = [&](const Effect& x, const Effect& y) {
    return x.value == y.value && a.store->parameters[x.parameter] == b.store->parameters[y.parameter];
  };
  where = std::min(where, a.size() - 1);
  return a.size() == b.size() && a.outputs == b.outputs &&
         std::equal(a.effects.begin(), a.effects.end(), b.effects.begin(), b.effects.end(), same_effect);
}

double tape_bytes(const Graph& g) {
  double bytes = 0;
  for (const Node& n : g.nodes)
    if (n.info->alias == nullptr && n.role != Role::parameter)
      bytes += static_cast<double>(n.shape.size()) * static_cast<double>(size_of(n.dtype));
  return bytes;
}

}  // namespace rw::ir
