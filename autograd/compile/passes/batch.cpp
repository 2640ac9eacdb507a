#include <fmt/format.h>

#include <rewind/autograd/compile/passes/batch.h>

namespace rw::ir {

// Products that share a matrix.

void Batcher::share_matrices() {
  std::vector<Group> groups;
  std::unordered_map<Key, std::size_t, KeyHash> numbers;
  for (NodeId i = 0; i < old_; ++i) {
    const Node& n = g_.nodes[i];
    if (forward_[i] != i || !is_product(i) || !fact(n.info->rows_are_independent, i)) continue;
    const NodeId b = resolve(g_.in(i, 1));
    if (shape(b).rank() != 2 || n.shape.size() == 0) continue;
    const auto [at, fresh] = numbers.emplace(Key{n.info, n.info->hash(n.op), b}, groups.size());
    if (fresh) groups.emplace_back();
    groups[at->second].push_back(i);
  }
  // A product that is not alive any more (its sum was rewritten) does no harm: nothing leads to it.
  for (const Group& group : groups)
    if (group.size() > 1) merge(group);
}

// How many products of the group stand before each node, on the longest path: products of equal depth do not depend
// on each other, and one product in their place closes no circle.
void Batcher::merge(const Group& group) {
  if (order_.empty()) sort_topologically();
  depth_.assign(g_.size(), 0);
  in_group_.assign(g_.size(), false);
  for (NodeId m : group) in_group_[m] = true;
  std::uint32_t deepest = 0;
  for (NodeId i : order_) {
    std::uint32_t d = 0;
    for (NodeId raw : g_.in(i)) {
      const NodeId x = resolve(raw);
      d = std::max(d, depth_[x] + (in_group_[x] ? 1u : 0u));
    }
    depth_[i] = d;
    if (in_group_[i]) deepest = std::max(deepest, d);
  }
  if (deepest + 1 == group.size()) return;  // each needs the one before: a recurrence
  std::vector<Group> equal(deepest + 1);
  for (NodeId m : group) equal[depth_[m]].push_back(m);
  for (Group& part : equal)
    if (part.size() > 1) replace(part);
  order_.clear();
}

void Batcher::replace(Group& group) {
  const std::uint32_t operands[] = {0};
  for (NodeId m : group)
    for (NodeId& e : std::span(g_.edges.data() + g_.nodes[m].first, g_.nodes[m].inputs)) e = resolve(e);
  order(group, operands);
  const Node first = g_.nodes[group[0]];
  const NodeId b = g_.in(group[0], 1);
  const NodeId a = stacked(group, 0, first);
  notes_.lines.push_back(fmt::format("{} products {} x {} with the same matrix: one over {} rows", group.size(),
                                     shape(g_.in(group[0], 0)).str(), shape(b).str(), shape(a)[0]));
  const NodeId whole = g_.add(*first.info, first.op, std::array{a, b}, first);
  Index at = 0;
  for (NodeId m : group) {
    const Node like = g_.nodes[m];
    const Index rows = like.shape.rows();
    NodeId part = g_.add(Slice{0, at, rows}, {whole}, like);
    if (!(shape(part) == like.shape)) part = g_.add(Reshape{like.shape}, {part}, like);
    forward_[m] = part;
    at += rows;
  }
}

void Batcher::sort_topologically() {
  std::vector<char> state(g_.size());
  std::vector<std::pair<NodeId, std::uint32_t>> stack;
  const auto visit = [&](NodeId root) {
    if (state[root] != 0) return;
    state[root] = 1;
    stack.emplace_back(root, 0);
    while (!stack.empty()) {
      auto& [i, k] = stack.back();
      if (k < g_.nodes[i].inputs) {
        const NodeId x = resolve(g_.in(i, k++));
        if (state[x] == 0) state[x] = 1, stack.emplace_back(x, 0);
        continue;
      }
      order_.push_back(i);
      stack.pop_back();
    }
  };
  for (NodeId o : g_.outputs) visit(resolve(o));
  for (const Effect& e : g_.effects) visit(resolve(e.value));
}

Graph batch(const Graph& g, Notes& notes) { return Batcher(g, notes).run(); }

}  // namespace rw::ir
