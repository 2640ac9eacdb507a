#include <algorithm>
#include <cstdint>

#include <rewind/autograd/detail/plain_sweep.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>

namespace rw::detail {

// Cotangents come before what the sweep adds. A node that is seeded twice gets the sum, in order.
void PlainSweep::seed(const Seed& seed) {
  if (!seed.cotangent.has_value()) return this->seed(seed.node);
  add_to(seed.node, *seed.cotangent);
}

// While sums go from tape to tape, the gradients of parameters are their memory and not the tape's.
void PlainSweep::attach_sums() {
  for (const TapeData::ReadParameter& leaf : tape_.leaves) {
    const auto known = sums_->find(leaf.parameter);
    if (known == sums_->end() || !tape_.nodes[leaf.node].needs_grad) continue;
    tape_.gradients[leaf.node] = known->second.block.view().data;
    tape_.gradient_terms[leaf.node] = static_cast<std::uint8_t>(known->second.terms);
  }
}

void PlainSweep::detach_sums() {
  for (const TapeData::ReadParameter& leaf : tape_.leaves) {
    if (leaf.node >= tape_.gradients.size() || tape_.gradients[leaf.node] == nullptr) continue;
    tape_.gradients[leaf.node] = nullptr;
    if (const auto known = sums_->find(leaf.parameter); known != sums_->end())
      known->second.terms = tape_.gradient_terms[leaf.node];
  }
}

void PlainSweep::seed(NodeId root) {
  begins(root);
  if (options_.cotangent.has_value()) {
    copy(options_.cotangent->value(), gradient(root));
  } else {
    visit_real(tape_.options.dtype, [&]<class T>() { *gradient(root).as<T>() = T(1); });
  }
}

// A long tape has left the caches when its sweep comes back to it. What a rule reads is often a time step behind: some
// tens of nodes.
void PlainSweep::fetch_ahead(NodeId id) const {
  constexpr NodeId node_distance = 128, value_distance = 112;
  if (id < node_distance) return;
  // By number: what is fetched may be null, or end before the second line.
  const auto fetch = [](const void* at) {
    const auto line = reinterpret_cast<std::uintptr_t>(at);
    __builtin_prefetch(reinterpret_cast<const void*>(line));
    __builtin_prefetch(reinterpret_cast<const void*>(line + 64));
  };
  fetch(&tape_.nodes[id - node_distance]);
  fetch(tape_.nodes[id - value_distance].data);
}

void PlainSweep::run(NodeId root) {
  if (options_.release_values) pin_viewed(root);
  for (NodeId i = root + 1; i-- > 0;) {
    fetch_ahead(i);
    const Node& n = tape_.nodes[i];
    complete(i);
    if (tape_.gradients[i] != nullptr && n.role == Role::op) {
      if (n.info->elementwise != nullptr)
        elementwise_rule(i);
      else if (n.info == &op_info<Slice>())
        slice_rule(i);
      else if (n.info == &op_info<Reshape>())
        reshape_rule(i);
      else
        generic_rule(i);
      if (!keeps_gradient(i) && tape_.gradients[i] != nullptr) free_gradient(i);
    }
    if (options_.release_values && i != root) release_value(i);
  }
}

void PlainSweep::generic_rule(NodeId id) {
  const TapeMark before = tape_.mark();
  tape_.rule_nodes = before.nodes;
  tape_.lazy = tape_.in_rule = true;
  tape_.scope = tape_.nodes[id].scope;  // for messages
  const NodeId dy =
      tape_.leaf(op_info<Constant>(), Role::constant, tape_.nodes[id].shape, tape_.nodes[id].dtype, false);
  tape_.nodes[dy].data = tape_.gradients[id];
  run_rule(id, tape_.tensor(dy));
  tape_.lazy = tape_.in_rule = false;
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
  const bool first = begins(to);
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
  const auto reached = [&](const TapeData::ReadParameter& leaf) {
    return leaf.node < tape_.gradients.size() && tape_.gradients[leaf.node] != nullptr;
  };
  const auto sum = [&](const TapeData::ReadParameter& leaf) {
    return (into != nullptr ? into->sum(leaf.parameter) : leaf.parameter->grad).view();
  };
  for (const TapeData::ReadParameter& leaf : tape_.leaves) {
    if (!reached(leaf)) continue;
    if (into == nullptr)
      leaf.parameter->check_grad();
    else if (!(into->sum(leaf.parameter).shape() == leaf.parameter->value.shape()))
      throw Error("parameter '" + leaf.parameter->name + "': its sum in Gradients was replaced by one of shape " +
                  into->sum(leaf.parameter).shape().str());
  }
  for (const TapeData::ReadParameter& leaf : tape_.leaves)
    if (reached(leaf)) add_into(gradient(leaf.node), sum(leaf));
}

void PlainSweep::forget_leaves() {
  for (NodeId i = 0; i < tape_.gradients.size(); ++i)
    if (tape_.gradients[i] != nullptr && !keeps_gradient(i)) free_gradient(i);
}

void plain_backward(TapeData& tape, NodeId root, Gradients* into, const BackwardOptions& options) {
  PlainSweep sweep(tape, options);
  const TapeMark before = tape.mark();
  try {
    sweep.seed(root);
    sweep.run(root);
    sweep.commit(into);
    sweep.forget_leaves();
  } catch (...) {
    tape.lazy = tape.in_rule = false;
    tape.scope = before.scope;
    tape.truncate(before);
    tape.forget_gradients(0);
    throw;
  }
}

void split_backward(TapeData& tape, std::span<const Seed> seeds, LeafSums& sums) {
  const BackwardOptions options;
  PlainSweep sweep(tape, options, &sums);
  const TapeMark before = tape.mark();
  try {
    sweep.attach_sums();
    NodeId newest = 0;
    for (const Seed& seed : seeds) {
      sweep.seed(seed);
      newest = std::max(newest, seed.node);
    }
    sweep.run(newest);
    sweep.detach_sums();
    sweep.forget_leaves();
  } catch (...) {
    sweep.detach_sums();
    tape.lazy = tape.in_rule = false;
    tape.scope = before.scope;
    tape.truncate(before);
    tape.forget_gradients(0);
    throw;
  }
}

}  // namespace rw::detail
