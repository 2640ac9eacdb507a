#include <algorithm>
#include <unordered_map>

#include <rewind/autograd/detail/gradient_parts.h>
#include <rewind/autograd/detail/sweep.h>
#include <rewind/core/error.h>

namespace rw::detail {
namespace {

/// Gradients as recorded ops. What flows into a node is collected and becomes one add_n, or a concat of its parts;
/// small parts of a view go on to what it looks at.
class RecordedSweep final : public Sweep {
 public:
  /// Rules run from the last node back to `first`; of x that lie before it the parts are gathered.
  RecordedSweep(TapeData& tape, NodeId first, NodeId last, std::span<const NodeId> x, Rule rule);
  ~RecordedSweep() override { tape_.origin = origin_; }

  void run(std::span<const Root> roots);
  NodeId gradient(NodeId id) const { return id < end_ ? gradients_[id - first_] : no_node; }
  std::vector<GradientPart>& parts(NodeId id) { return id < first_ ? before_.at(id) : parts_[id - first_]; }

  bool wants(NodeId node) const override {
    return node < first_ ? before_.contains(node) : node < end_ && wanted_[node - first_];
  }
  void add(NodeId to, Tensor g) override;
  void add_slice(NodeId to, Tensor g, int axis, Index start) override;

 private:
  bool pass_on(NodeId view);

  // The nodes that matter are [first_, end_); what is kept of them counts from first_.
  NodeId first_, end_;
  Rule rule_;
  NodeId origin_;
  std::vector<bool> wanted_, asked_;  // asked: one of x, whose whole gradient is a result
  std::vector<std::vector<GradientPart>> parts_;
  std::vector<NodeId> gradients_;
  std::unordered_map<NodeId, std::vector<GradientPart>> before_;
};

RecordedSweep::RecordedSweep(TapeData& tape, NodeId first, NodeId last, std::span<const NodeId> x, Rule rule)
    : Sweep(tape), first_(std::min(first, last + 1)), end_(last + 1), rule_(rule), origin_(tape.origin) {
  wanted_.resize(end_ - first_);
  parts_.resize(end_ - first_);
  gradients_.resize(end_ - first_, no_node);
  for (NodeId i : x) {
    if (i < first_)
      before_[i];
    else if (i < end_)
      wanted_[i - first_] = true;
  }
  asked_ = wanted_;
  for (NodeId i = first_; i < end_; ++i) {
    const Node& n = tape.nodes[i];
    for (NodeId in : n.in())
      if (n.needs_grad && wants(in)) wanted_[i - first_] = true;
  }
}

void RecordedSweep::add(NodeId to, Tensor g) {
  if (!wants(to)) return;
  if (!(g.shape() == tape_.nodes[to].shape)) g = record(SumTo{tape_.nodes[to].shape}, {g});
  parts(to).push_back({tape_.id(g), {}});
}

void RecordedSweep::add_slice(NodeId to, Tensor g, int axis, Index start) {
  if (!wants(to)) return;
  GradientPart part{tape_.id(g), {}};
  if (tape_.nodes[part.node].shape[axis] == 0) return;
  part.start[static_cast<std::size_t>(axis)] = static_cast<std::int32_t>(start);
  parts(to).push_back(part);
}

// Whether what has flowed into a view is left to what it looks at.
bool RecordedSweep::pass_on(NodeId view) {
  if (asked_[view - first_] || tape_.nodes[view].arity != 1) return false;
  const NodeId behind = tape_.nodes[view].in()[0];
  if (!wants(behind)) return false;
  const auto moved = parts_behind(tape_, tape_.nodes[view], parts(view));
  if (!moved.has_value()) return false;
  parts(behind).insert(parts(behind).end(), moved->begin(), moved->end());
  return true;
}

void RecordedSweep::run(std::span<const Root> roots) {
  for (const Root& root : roots)
    if (wants(root.node)) parts(root.node).push_back({root.cotangent, {}});
  const std::uint32_t scope = tape_.scope;
  for (NodeId i = end_; i-- > first_;) {
    if (parts(i).empty()) continue;
    tape_.origin = i;
    tape_.scope = tape_.nodes[i].scope;
    if (!pass_on(i)) {
      NodeId& gradient = gradients_[i - first_];
      gradient = sum_of_parts(tape_, tape_.nodes[i].shape, parts(i));
      if (tape_.nodes[i].role == Role::op) run_rule(i, tape_.tensor(gradient), rule_);
    }
    std::vector<GradientPart>().swap(parts(i));
  }
  tape_.scope = scope;
}

}  // namespace

namespace {

NodeId last_of(std::span<const Root> roots) {
  NodeId last = 0;
  for (const Root& root : roots) last = std::max(last, root.node);
  return last;
}

// f(), and the tape as it was when it throws.
template <class F>
auto or_nothing(TapeData& tape, F&& f) {
  const TapeMark before = tape.mark();
  try {
    return f();
  } catch (...) {
    tape.scope = before.scope;
    tape.truncate(before);
    throw;
  }
}

}  // namespace

std::vector<NodeId> recorded_backward(TapeData& tape, std::span<const Root> roots, std::span<const NodeId> x,
                                      Rule rule) {
  if (roots.empty() || x.empty()) return std::vector<NodeId>(x.size(), no_node);
  return or_nothing(tape, [&] {
    RecordedSweep sweep(tape, *std::min_element(x.begin(), x.end()), last_of(roots), x, rule);
    sweep.run(roots);
    std::vector<NodeId> out;
    for (NodeId i : x) out.push_back(sweep.gradient(i));
    return out;
  });
}

std::vector<std::vector<GradientPart>> gradient_parts_since(TapeData& tape, NodeId from, std::span<const Root> roots,
                                                            std::span<const NodeId> x) {
  if (roots.empty()) return std::vector<std::vector<GradientPart>>(x.size());
  return or_nothing(tape, [&] {
    RecordedSweep sweep(tape, from, last_of(roots), x, Rule::gradient);
    sweep.run(roots);
    std::vector<std::vector<GradientPart>> out;
    for (NodeId i : x) out.push_back(std::move(sweep.parts(i)));
    return out;
  });
}

}  // namespace rw::detail
