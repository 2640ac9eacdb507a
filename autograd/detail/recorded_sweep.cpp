#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <rewind/autograd/detail/sweep.h>
#include <rewind/core/error.h>

namespace rw::detail {
namespace {

/// Gradients as recorded ops. What flows into a node is collected and becomes one add_n; slices of one axis that do not
/// overlap become one concat, with zeros in the gaps.
class RecordedSweep final : public Sweep {
 public:
  RecordedSweep(TapeData& tape, NodeId last, std::span<const NodeId> x, Rule rule);
  ~RecordedSweep() override { tape_.origin = origin_; }

  void run(std::span<const Root> roots);
  NodeId gradient(NodeId id) const { return id < end_ ? gradients_[id - first_] : no_node; }

  bool wants(NodeId node) const override { return node >= first_ && node < end_ && wanted_[node - first_]; }
  void add(NodeId to, Tensor g) override;
  void add_slice(NodeId to, Tensor g, int axis, Index start) override;

 private:
  // A dense gradient, or slices of one axis: start to node.
  struct Term {
    NodeId dense = no_node;
    int axis = 0;
    std::map<Index, NodeId> slices;
    bool takes(int axis, Index start, Index length, const TapeData& tape) const;
  };

  NodeId assemble(NodeId id);
  NodeId assemble(NodeId id, const Term& term);

  std::vector<Term>& terms(NodeId id) { return terms_[id - first_]; }

  // The nodes that matter are [first_, end_); what is kept of them counts from first_.
  NodeId first_, end_;
  Rule rule_;
  NodeId origin_;
  std::vector<bool> wanted_;
  std::vector<std::vector<Term>> terms_;
  std::vector<NodeId> gradients_;
};

RecordedSweep::RecordedSweep(TapeData& tape, NodeId last, std::span<const NodeId> x, Rule rule)
    : Sweep(tape), first_(last + 1), end_(last + 1), rule_(rule), origin_(tape.origin) {
  for (NodeId i : x) first_ = std::min(first_, i);
  wanted_.resize(end_ - first_);
  terms_.resize(end_ - first_);
  gradients_.resize(end_ - first_, no_node);
  for (NodeId i : x)
    if (i < end_) wanted_[i - first_] = true;
  for (NodeId i = first_; i < end_; ++i) {
    const Node& n = tape.nodes[i];
    for (NodeId in : n.in())
      if (n.needs_grad && wants(in)) wanted_[i - first_] = true;
  }
}

bool RecordedSweep::Term::takes(int to_axis, Index start, Index length, const TapeData& tape) const {
  if (dense != no_node || to_axis != axis) return false;
  const auto after = slices.lower_bound(start);
  if (after != slices.end() && after->first < start + length) return false;
  if (after == slices.begin()) return true;
  const auto before = std::prev(after);
  return before->first + tape.nodes[before->second].shape[axis] <= start;
}

void RecordedSweep::add(NodeId to, Tensor g) {
  if (!wants(to)) return;
  if (!(g.shape() == tape_.nodes[to].shape)) g = record(SumTo{tape_.nodes[to].shape}, {g});
  terms(to).push_back({.dense = tape_.id(g), .axis = 0, .slices = {}});
}

void RecordedSweep::add_slice(NodeId to, Tensor g, int axis, Index start) {
  if (!wants(to)) return;
  const NodeId from = tape_.id(g);
  const Index length = tape_.nodes[from].shape[axis];
  if (length == 0) return;
  std::vector<Term>& so_far = terms(to);
  if (so_far.empty() || !so_far.back().takes(axis, start, length, tape_))
    so_far.push_back({.dense = no_node, .axis = axis, .slices = {}});
  so_far.back().slices.emplace(start, from);
}

NodeId RecordedSweep::assemble(NodeId id, const Term& term) {
  if (term.dense != no_node) return term.dense;
  const Shape whole = tape_.nodes[id].shape;
  std::vector<Operand> pieces;
  Index at = 0;
  const auto zeros_until = [&](Index end) {
    if (end > at) pieces.emplace_back(tape_.owner->constant(0, whole.with(term.axis, end - at)));
  };
  for (const auto& [start, node] : term.slices) {
    zeros_until(start);
    pieces.emplace_back(tape_.tensor(node));
    at = start + tape_.nodes[node].shape[term.axis];
  }
  zeros_until(whole[term.axis]);
  if (pieces.size() == 1) return term.slices.begin()->second;
  return tape_.id(record(Concat{term.axis}, std::span<const Operand>(pieces)));
}

NodeId RecordedSweep::assemble(NodeId id) {
  std::vector<Operand> sum;
  for (const Term& term : terms(id)) sum.emplace_back(tape_.tensor(assemble(id, term)));
  std::vector<Term>().swap(terms(id));
  if (sum.size() == 1) return tape_.resolve(sum[0]);
  return tape_.id(record(AddN{}, std::span<const Operand>(sum)));
}

void RecordedSweep::run(std::span<const Root> roots) {
  for (const Root& root : roots)
    if (wants(root.node)) terms(root.node).push_back({.dense = root.cotangent, .axis = 0, .slices = {}});
  const std::uint32_t scope = tape_.scope;
  for (NodeId i = end_; i-- > first_;) {
    if (terms(i).empty()) continue;
    tape_.origin = i;
    tape_.scope = tape_.nodes[i].scope;
    gradients_[i - first_] = assemble(i);
    if (tape_.nodes[i].role == Role::op) run_rule(i, tape_.tensor(gradient(i)), rule_);
  }
  tape_.scope = scope;
}

}  // namespace

std::vector<NodeId> recorded_backward(TapeData& tape, std::span<const Root> roots, std::span<const NodeId> x,
                                      Rule rule) {
  if (roots.empty()) return std::vector<NodeId>(x.size(), no_node);
  const TapeMark before = tape.mark();
  try {
    NodeId last = 0;
    for (const Root& root : roots) last = std::max(last, root.node);
    RecordedSweep sweep(tape, last, x, rule);
    sweep.run(roots);
    std::vector<NodeId> out;
    for (NodeId i : x) out.push_back(sweep.gradient(i));
    return out;
  } catch (...) {
    tape.scope = before.scope;
    tape.truncate(before);
    throw;
  }
}

}  // namespace rw::detail
