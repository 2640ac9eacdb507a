#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/sweep.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/core/scratch.h>

namespace rw::detail {
namespace {

std::size_t bytes_of(const Node& n) { return static_cast<std::size_t>(n.shape.size()) * size_of(n.dtype); }

/// Gradients as numbers: each node's lives from its first contribution until its own rule has run. Elementwise rules
/// are one loop an input; other rules record their ops lazily, and only what is added is computed, straight into the
/// gradient.
class PlainSweep final : public Sweep {
 public:
  PlainSweep(TapeData& tape, const BackwardOptions& options) : Sweep(tape), options_(options) {
    tape_.forget_gradients(0);
    tape_.gradients.assign(tape_.nodes.size(), nullptr);
  }
  ~PlainSweep() override { tape_.lazy = false; }

  void run(NodeId root);
  void seed(NodeId root);
  void commit(Gradients* into);
  void forget_leaves();

  void add(NodeId to, Tensor g) override;
  void add_slice(NodeId to, Tensor g, int axis, Index start) override;

 private:
  void generic_rule(NodeId id);
  bool plain_elementwise_rule(NodeId id);
  std::size_t heir_of(NodeId id) const;
  void bequeath(NodeId from, NodeId to);
  void slice_rule(NodeId id);
  void reshape_rule(NodeId id);
  void stretched_input(NodeId id, std::size_t input, std::span<const ConstView> x);
  void add_summed(NodeId to, ConstView g);
  void add_to(NodeId to, ConstView g);
  void add_part(NodeId to, ConstView part, Index axis, Index start);
  void elementwise_rule(NodeId id);
  void elementwise_input(NodeId id, std::size_t input, std::span<const ConstView> x);
  void compute_below(NodeId id);
  void pin_viewed(NodeId root);
  void release_value(NodeId id);

  bool keeps_gradient(NodeId id) const {
    const Node& n = tape_.nodes[id];
    return options_.keep_grads || n.keep || n.role == Role::input;
  }
  View gradient(NodeId id) {
    return contiguous_view(tape_.gradients[id], tape_.nodes[id].shape, tape_.nodes[id].dtype);
  }
  bool fresh(NodeId id) {
    if (tape_.gradients[id] != nullptr) return false;
    tape_.gradients[id] = tape_.blocks.take(bytes_of(tape_.nodes[id]));
    return true;
  }
  void give(NodeId id) {
    tape_.blocks.give(tape_.gradients[id], bytes_of(tape_.nodes[id]));
    tape_.gradients[id] = nullptr;
  }

  const BackwardOptions& options_;
};

void PlainSweep::seed(NodeId root) {
  fresh(root);
  if (options_.cotangent.has_value()) {
    copy(options_.cotangent->value(), gradient(root));
  } else {
    visit_real(tape_.options.dtype, [&]<class T>() { *gradient(root).as<T>() = T(1); });
  }
}

void PlainSweep::run(NodeId root) {
  if (options_.release_values) pin_viewed(root);
  for (NodeId i = root + 1; i-- > 0;) {
    const Node& n = tape_.nodes[i];
    if (tape_.gradients[i] != nullptr && n.role == Role::op) {
      if (n.info->elementwise != nullptr)
        elementwise_rule(i);
      else if (n.info == &op_info<Slice>())
        slice_rule(i);
      else if (n.info == &op_info<Reshape>())
        reshape_rule(i);
      else
        generic_rule(i);
      if (!keeps_gradient(i) && tape_.gradients[i] != nullptr) give(i);
    }
    if (options_.release_values && i != root) release_value(i);
  }
}

// The common case, kept apart for speed: all inputs of the node's shape, nothing between rows.
bool PlainSweep::plain_elementwise_rule(NodeId id) {
  const Node& n = tape_.nodes[id];
  const void* x[max_loop_inputs];
  const std::size_t arity = n.inputs;
  for (std::size_t i = 0; i < arity; ++i) {
    const Node& from = tape_.nodes[n.input[i]];
    if (!(from.shape == n.shape) || from.stride != n.stride) return false;
    x[i] = from.data;
  }
  x[arity] = n.data;
  x[arity + 1] = tape_.gradients[id];
  const Index size = n.shape.size();
  const ElementwiseFact& fact = *n.info->elementwise;
  const std::size_t heir = heir_of(id);
  for (std::size_t i = 0; i < arity; ++i) {
    const NodeId to = n.input[i];
    if (i == heir || !tape_.nodes[to].needs_grad || fact.gradient[i].f32 == nullptr) continue;
    const bool first = fresh(to);
    x[arity + 2] = tape_.gradients[to];
    contiguous_loop(first ? fact.gradient[i] : fact.accumulate[i], n.op, n.dtype, size, x,
                    static_cast<int>(arity + (first ? 2 : 3)), tape_.gradients[to]);
  }
  if (heir < arity) bequeath(id, n.input[heir]);
  return true;
}

// The input that may take over this node's gradient as it stands: the rule passes it on unchanged, nothing has been
// added for the input yet, nor will another input of this node, and nobody wants this node's gradient later.
std::size_t PlainSweep::heir_of(NodeId id) const {
  const Node& n = tape_.nodes[id];
  const std::uint32_t passes = n.info->elementwise->passes_gradient;
  if (passes == 0 || keeps_gradient(id)) return n.inputs;
  for (std::size_t i = 0; i < n.inputs; ++i) {
    const NodeId to = n.input[i];
    if ((passes >> i & 1u) == 0 || !tape_.nodes[to].needs_grad || tape_.gradients[to] != nullptr) continue;
    if (std::count(n.input, n.input + n.inputs, to) == 1) return i;
  }
  return n.inputs;
}

void PlainSweep::bequeath(NodeId from, NodeId to) {
  tape_.gradients[to] = tape_.gradients[from];
  tape_.gradients[from] = nullptr;
}

void PlainSweep::elementwise_rule(NodeId id) {
  if (plain_elementwise_rule(id)) return;
  const Node& n = tape_.nodes[id];
  Scratch<ConstView, max_loop_inputs> x;
  const std::size_t arity = n.inputs;
  for (std::size_t i = 0; i < arity; ++i) x[i] = tape_.nodes[n.input[i]].value();
  x[arity] = n.value();
  x[arity + 1] = gradient(id);
  for (std::size_t i = 0; i < arity; ++i)
    if (wants(n.input[i]) && n.info->elementwise->gradient[i].f32 != nullptr)
      elementwise_input(id, i, x.first(arity + 2));
}

// The input was stretched: its gradient is summed back.
void PlainSweep::stretched_input(NodeId id, std::size_t input, std::span<const ConstView> x) {
  const Node& n = tape_.nodes[id];
  const NodeId to = n.input[input];
  const ElementwiseFact& fact = *n.info->elementwise;
  if ((fact.passes_gradient >> input & 1u) != 0) return add_summed(to, gradient(id));
  void* whole = tape_.blocks.take(bytes_of(n));
  const View y = contiguous_view(whole, n.shape, n.dtype);
  broadcast_loop(fact.gradient[input], n.op, x, y);
  add_summed(to, y);
  tape_.blocks.give(whole, bytes_of(n));
}

void PlainSweep::add_summed(NodeId to, ConstView g) {
  const Node& target = tape_.nodes[to];
  if (g.size() == target.shape.size()) return add_to(to, contiguous_view(g.data, target.shape, g.dtype));
  if (fresh(to)) return sum_to(g, gradient(to));
  void* part = tape_.blocks.take(bytes_of(target));
  const View sum = contiguous_view(part, target.shape, target.dtype);
  sum_to(g, sum);
  add_into(sum, gradient(to));
  tape_.blocks.give(part, bytes_of(target));
}

void PlainSweep::add_to(NodeId to, ConstView g) {
  if (fresh(to))
    copy(g, gradient(to));
  else
    add_into(g, gradient(to));
}

void PlainSweep::elementwise_input(NodeId id, std::size_t input, std::span<const ConstView> x) {
  const Node& n = tape_.nodes[id];
  const NodeId to = n.input[input];
  const ElementwiseFact& fact = *n.info->elementwise;
  const Node& target = tape_.nodes[to];
  if (!(target.shape == n.shape)) return stretched_input(id, input, x);
  const bool first = fresh(to);
  const View dx = gradient(to);
  Scratch<ConstView, max_loop_inputs> all;
  std::size_t inputs = x.size();
  for (std::size_t i = 0; i < inputs; ++i) all[i] = x[i];
  if (!first) all[inputs++] = dx;
  broadcast_loop(first ? fact.gradient[input] : fact.accumulate[input], n.op, all.first(inputs), dx);
}

void PlainSweep::generic_rule(NodeId id) {
  const TapeMark before = tape_.mark();
  tape_.rule_nodes = before.nodes;
  tape_.lazy = true;
  tape_.scope = tape_.nodes[id].scope;  // for messages
  const NodeId dy =
      tape_.leaf(op_info<Constant>(), Role::constant, tape_.nodes[id].shape, tape_.nodes[id].dtype, false);
  tape_.nodes[dy].data = tape_.gradients[id];
  run_rule(id, tape_.tensor(dy));
  tape_.lazy = false;
  tape_.scope = before.scope;
  tape_.forget_nodes(before);
}

// Computes what node `id`, recorded by the running rule, is made of: no more, so that what was added straight into a
// gradient is not computed again. The cost is that of the nodes computed: a rule may record thousands.
void PlainSweep::compute_below(NodeId id) {
  const NodeId base = tape_.rule_nodes;
  std::vector<NodeId>& wanted = tape_.pending;
  wanted.clear();
  const auto visit = [&](NodeId node) {
    for (NodeId in : tape_.nodes[node].in())
      if (in >= base && tape_.nodes[in].data == nullptr && !tape_.nodes[in].keep) {
        tape_.nodes[in].keep = true;  // the rule's own nodes are not anybody's to keep: here it says "wanted"
        wanted.push_back(in);
      }
  };
  if (id >= base) visit(id);
  for (std::size_t i = 0; i < wanted.size(); ++i) visit(wanted[i]);
  std::sort(wanted.begin(), wanted.end());
  for (NodeId i : wanted) tape_.evaluate(i);
}

void PlainSweep::add(NodeId to, Tensor g) {
  if (!wants(to)) return;
  if (!(g.shape() == tape_.nodes[to].shape)) g = record(SumTo{tape_.nodes[to].shape}, {g});
  const NodeId from = tape_.id(g);
  compute_below(from);
  const bool first = fresh(to);
  const View sum = gradient(to);
  Node& n = tape_.nodes[from];
  const bool pending = n.data == nullptr;
  if (pending && first && n.info->alias == nullptr) return tape_.evaluate_into(n, sum, false);
  if (pending && !first && n.info->eval_add != nullptr) return tape_.evaluate_into(n, sum, true);
  if (pending) tape_.evaluate(from);
  if (first)
    copy(tape_.nodes[from].value(), sum);
  else
    add_into(tape_.nodes[from].value(), sum);
}

void PlainSweep::add_slice(NodeId to, Tensor g, int axis, Index start) {
  if (!wants(to)) return;
  const NodeId from = tape_.id(g);
  compute_below(from);
  if (tape_.nodes[from].data == nullptr) tape_.evaluate(from);
  add_part(to, tape_.nodes[from].value(), axis, start);
}

void PlainSweep::add_part(NodeId to, ConstView part, Index axis, Index start) {
  if (fresh(to)) std::memset(tape_.gradients[to], 0, bytes_of(tape_.nodes[to]));
  if (part.size() == 0) return;
  const View region = slice_as_rows(gradient(to), axis, start, part.shape[static_cast<int>(axis)]);
  if (part.contiguous()) return add_into(contiguous_view(part.data, region.shape, part.dtype), region);
  const std::size_t bytes = static_cast<std::size_t>(part.size()) * size_of(part.dtype);
  void* packed = tape_.blocks.take(bytes);
  copy(part, contiguous_view(packed, part.shape, part.dtype));
  add_into(contiguous_view(static_cast<const void*>(packed), region.shape, part.dtype), region);
  tape_.blocks.give(packed, bytes);
}

// The two views that every unrolled cell is full of; the same sums as their recorded rules make.
void PlainSweep::slice_rule(NodeId id) {
  const Node& n = tape_.nodes[id];
  const auto& slice = *static_cast<const Slice*>(n.op);
  if (wants(n.input[0])) add_part(n.input[0], gradient(id), slice.axis, slice.start);
}

void PlainSweep::reshape_rule(NodeId id) {
  const Node& n = tape_.nodes[id];
  const NodeId to = n.input[0];
  if (!wants(to)) return;
  if (tape_.gradients[to] == nullptr && !keeps_gradient(id))
    bequeath(id, to);
  else
    add_to(to, contiguous_view(tape_.gradients[id], tape_.nodes[to].shape, n.dtype));
}

// Marks the values that a view looks at which is not released: the loss, what was kept, what was recorded later.
void PlainSweep::pin_viewed(NodeId root) {
  std::vector<bool>& pinned = tape_.flags;
  pinned.assign(tape_.nodes.size(), false);
  for (auto i = static_cast<NodeId>(tape_.nodes.size()); i-- > 0;) {
    const Node& n = tape_.nodes[i];
    const bool is_view = n.role == Role::op && n.data != nullptr && !n.owns_data;
    if (is_view && (i >= root || n.keep || pinned[i])) pinned[n.input[0]] = true;
  }
}

void PlainSweep::release_value(NodeId id) {
  Node& n = tape_.nodes[id];
  if (n.keep || n.role != Role::op || n.data == nullptr) return;
  if (n.owns_data && !tape_.flags[id] && bytes_of(n) >= sizeof(void*)) tape_.released.put(n.data, bytes_of(n));
  n.data = nullptr;
  tape_.has_released = true;
}

// What can fail comes first, so that a throw leaves every parameter's gradient as it was.
void PlainSweep::commit(Gradients* into) {
  const auto reached = [&](const TapeData::Leaf& leaf) {
    return leaf.node < tape_.gradients.size() && tape_.gradients[leaf.node] != nullptr;
  };
  const auto sum = [&](const TapeData::Leaf& leaf) {
    return (into != nullptr ? into->sum(leaf.parameter) : leaf.parameter->grad).view();
  };
  for (const TapeData::Leaf& leaf : tape_.leaves)
    if (reached(leaf)) check_gradient(*leaf.parameter, sum(leaf));
  for (const TapeData::Leaf& leaf : tape_.leaves)
    if (reached(leaf)) add_into(gradient(leaf.node), sum(leaf));
}

void PlainSweep::forget_leaves() {
  for (NodeId i = 0; i < tape_.gradients.size(); ++i)
    if (tape_.gradients[i] != nullptr && !keeps_gradient(i)) give(i);
}

}  // namespace

void plain_backward(TapeData& tape, NodeId root, Gradients* into, const BackwardOptions& options) {
  PlainSweep sweep(tape, options);
  const TapeMark before = tape.mark();
  try {
    sweep.seed(root);
    sweep.run(root);
    sweep.commit(into);
    sweep.forget_leaves();
  } catch (...) {
    tape.lazy = false;
    tape.scope = before.scope;
    tape.truncate(before);
    tape.forget_gradients(0);
    throw;
  }
}

}  // namespace rw::detail
