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
  RecordedSweep(TapeData& tape, NodeId root, std::span<const NodeId> x);
  ~RecordedSweep() override { tape_.origin = no_node; }

  void run(NodeId root, NodeId seed);
  NodeId gradient(NodeId id) const { return gradients_[id]; }

  bool wants(NodeId node) const override { return node < wanted_.size() && wanted_[node]; }
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

  std::vector<bool> wanted_;
  std::vector<std::vector<Term>> terms_;
  std::vector<NodeId> gradients_;
};

RecordedSweep::RecordedSweep(TapeData& tape, NodeId root, std::span<const NodeId> x)
    : Sweep(tape), wanted_(root + 1), terms_(root + 1), gradients_(root + 1, no_node) {
  for (NodeId i : x)
    if (i <= root) wanted_[i] = true;
  for (NodeId i = 0; i <= root; ++i) {
    const Node& n = tape.nodes[i];
    for (NodeId in : n.in())
      if (wanted_[in] && n.needs_grad) wanted_[i] = true;
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
  terms_[to].push_back({.dense = tape_.id(g), .axis = 0, .slices = {}});
}

void RecordedSweep::add_slice(NodeId to, Tensor g, int axis, Index start) {
  if (!wants(to)) return;
  const NodeId from = tape_.id(g);
  const Index length = tape_.nodes[from].shape[axis];
  if (length == 0) return;
  std::vector<Term>& terms = terms_[to];
  if (terms.empty() || !terms.back().takes(axis, start, length, tape_))
    terms.push_back({.dense = no_node, .axis = axis, .slices = {}});
  terms.back().slices.emplace(start, from);
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
  for (const Term& term : terms_[id]) sum.emplace_back(tape_.tensor(assemble(id, term)));
  std::vector<Term>().swap(terms_[id]);
  if (sum.size() == 1) return tape_.resolve(sum[0]);
  return tape_.id(record(AddN{}, std::span<const Operand>(sum)));
}

void RecordedSweep::run(NodeId root, NodeId seed) {
  terms_[root].push_back({.dense = seed, .axis = 0, .slices = {}});
  const std::uint32_t scope = tape_.scope;
  for (NodeId i = root + 1; i-- > 0;) {
    if (terms_[i].empty()) continue;
    tape_.origin = i;
    tape_.scope = tape_.nodes[i].scope;
    gradients_[i] = assemble(i);
    if (tape_.nodes[i].role == Role::op) run_rule(i, tape_.tensor(gradients_[i]));
  }
  tape_.scope = scope;
}

}  // namespace

std::vector<NodeId> recorded_backward(TapeData& tape, NodeId root, std::span<const NodeId> x,
                                      const std::optional<Tensor>& cotangent) {
  const TapeMark before = tape.mark();
  try {
    RecordedSweep sweep(tape, root, x);
    const NodeId seed =
        cotangent.has_value() ? tape.id(*cotangent) : tape.id(tape.owner->constant(1, tape.nodes[root].shape));
    sweep.run(root, seed);
    std::vector<NodeId> out;
    for (NodeId i : x) out.push_back(i <= root ? sweep.gradient(i) : no_node);
    return out;
  } catch (...) {
    tape.scope = before.scope;
    tape.truncate(before);
    throw;
  }
}

}  // namespace rw::detail
