#include <algorithm>

#include <rewind/autograd/detail/gradient_parts.h>
#include <rewind/autograd/detail/sweep.h>
#include <rewind/core/error.h>

namespace rw::detail {
namespace {

/// Gradients as recorded ops. What flows into a node is collected and becomes one add_n, or a concat of its parts;
/// small parts of a view go on to what it looks at.
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
  std::vector<bool> wanted_, asked_;  // asked: one of x, whose whole gradient is a result
  std::vector<std::vector<GradientPart>> parts_;
  std::vector<NodeId> gradients_;

  bool pass_on(NodeId view);
};

RecordedSweep::RecordedSweep(TapeData& tape, NodeId root, std::span<const NodeId> x)
    : Sweep(tape), wanted_(root + 1), parts_(root + 1), gradients_(root + 1, no_node) {
  for (NodeId i : x)
    if (i <= root) wanted_[i] = true;
  asked_ = wanted_;
  for (NodeId i = 0; i <= root; ++i) {
    const Node& n = tape.nodes[i];
    for (NodeId in : n.in())
      if (wanted_[in] && n.needs_grad) wanted_[i] = true;
  }
}

void RecordedSweep::add(NodeId to, Tensor g) {
  if (!wants(to)) return;
  if (!(g.shape() == tape_.nodes[to].shape)) g = record(SumTo{tape_.nodes[to].shape}, {g});
  parts_[to].push_back({tape_.id(g), {}});
}

void RecordedSweep::add_slice(NodeId to, Tensor g, int axis, Index start) {
  if (!wants(to)) return;
  GradientPart part{tape_.id(g), {}};
  if (tape_.nodes[part.node].shape[axis] == 0) return;
  part.start[static_cast<std::size_t>(axis)] = static_cast<std::int32_t>(start);
  parts_[to].push_back(part);
}

// Whether what has flowed into a view is left to what it looks at.
bool RecordedSweep::pass_on(NodeId view) {
  if (asked_[view] || tape_.nodes[view].inputs != 1) return false;
  const NodeId behind = tape_.nodes[view].in()[0];
  if (!wants(behind)) return false;
  const auto moved = parts_behind(tape_, tape_.nodes[view], parts_[view]);
  if (!moved.has_value()) return false;
  parts_[behind].insert(parts_[behind].end(), moved->begin(), moved->end());
  return true;
}

void RecordedSweep::run(NodeId root, NodeId seed) {
  parts_[root].push_back({seed, {}});
  const std::uint32_t scope = tape_.scope;
  for (NodeId i = root + 1; i-- > 0;) {
    if (parts_[i].empty()) continue;
    tape_.origin = i;
    tape_.scope = tape_.nodes[i].scope;
    if (!pass_on(i)) {
      gradients_[i] = sum_of_parts(tape_, tape_.nodes[i].shape, parts_[i]);
      if (tape_.nodes[i].role == Role::op) run_rule(i, tape_.tensor(gradients_[i]));
    }
    std::vector<GradientPart>().swap(parts_[i]);
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
