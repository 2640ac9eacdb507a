#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/passes/rows.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Appends to one graph, and replaces nodes. What is written last may stand after its users: the graph is sorted at the
/// end.
class Batcher {
 public:
  Batcher(const Graph& g, Notes& notes) : g_(g), replaced_(g), notes_(notes), uses_(use_counts(g)), old_(g.size()) {}

  Graph run() {
    sequence_.assign(old_, {no_node, 0});
    for (NodeId i = 0; i < old_; ++i)
      if (is_stack(g_, i)) remember(g_.in(i));
    sums();
    share_matrices();
    replaced_.apply(g_);
    return sorted(std::move(g_));
  }

 private:
  struct Position {
    NodeId sequence;
    Index at;
  };
  using Group = std::vector<NodeId>;

  const Shape& shape(NodeId i) const { return g_.nodes[i].shape; }

  // ---- The order in which operands stand behind each other ----

  void remember(std::span<const NodeId> pieces) {
    const NodeId name = behind_reshapes(g_, pieces[0]);
    Index at = 0;
    for (NodeId p : pieces) {
      const NodeId root = behind_reshapes(g_, p);
      if (root < old_ && sequence_[root].sequence == no_node) sequence_[root] = {name, at};
      ++at;
    }
  }

  // Where a value stands within another one; the base is itself when it stands alone.
  std::pair<NodeId, Index> flat(NodeId i) const {
    Index offset = 0;
    while (true) {
      if (g_.is<Reshape>(i)) {
        i = g_.in(i, 0);
      } else if (g_.is<Slice>(i) && g_.op<Slice>(i).axis == 0) {
        Index row = 1;
        for (int a = 1; a < shape(i).rank(); ++a) row *= shape(i)[a];
        offset += g_.op<Slice>(i).start * row;
        i = g_.in(i, 0);
      } else {
        return {i, offset};
      }
    }
  }

  // Sorts members by an order that one of their operands has already, or the time at which it was computed.
  void order(Group& group, std::span<const std::uint32_t> operands) {
    std::vector<std::pair<Index, NodeId>> keys;
    const auto by = [&](auto&& key) {
      keys.clear();
      for (NodeId m : group) keys.emplace_back(key(m), m);
      std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (std::size_t i = 0; i < group.size(); ++i) group[i] = keys[i].second;
    };
    for (std::uint32_t k : operands) {
      const auto operand = [&](NodeId m) { return behind_reshapes(g_, g_.in(m, k)); };
      const auto [base, offset] = flat(operand(group[0]));
      bool in_base = base != operand(group[0]), in_sequence = operand(group[0]) < old_;
      const NodeId sequence = in_sequence ? sequence_[operand(group[0])].sequence : no_node;
      in_sequence = sequence != no_node;
      for (NodeId m : group) {
        in_base = in_base && flat(operand(m)).first == base;
        in_sequence = in_sequence && operand(m) < old_ && sequence_[operand(m)].sequence == sequence;
      }
      if (in_sequence) return by([&](NodeId m) { return sequence_[operand(m)].at; });
      if (in_base) return by([&](NodeId m) { return flat(operand(m)).second; });
    }
    // By time: gradients were recorded from the last step to the first.
    by([&](NodeId m) {
      const auto at = static_cast<Index>(behind_reshapes(g_, g_.in(m, operands[0])));
      return g_.nodes[behind_reshapes(g_, g_.in(m, operands[0]))].backward ? -at : at;
    });
  }
  bool in_one_base(const Group& group, std::uint32_t k) const {
    const NodeId base = flat(g_.in(group[0], k)).first;
    return base != behind_reshapes(g_, g_.in(group[0], k)) &&
           std::all_of(group.begin(), group.end(), [&](NodeId m) { return flat(g_.in(m, k)).first == base; });
  }

  bool own_memory(NodeId i) const {
    i = behind_reshapes(g_, i);
    return !is_leaf(g_, i) && !is_view(g_, i);
  }

  // The operands `k` of all members as one matrix, stacked by rows.
  NodeId stacked(const Group& group, std::uint32_t k, const Node& like) {
    std::vector<NodeId> pieces;
    bool neighbours = true;
    Index at = -1;
    NodeId base = no_node;
    for (NodeId m : group) {
      const NodeId x = g_.in(m, k);
      const auto [b, offset] = flat(x);
      neighbours = neighbours && (at < 0 || (b == base && offset == at));
      base = b;
      at = offset + shape(x).size();
      pieces.push_back(x);
    }
    for (NodeId& x : pieces) {
      if (!neighbours && !own_memory(x)) x = copied(x, like);
      const Shape rows{shape(x).rows(), shape(x).cols()};
      if (!(shape(x) == rows)) x = g_.add(Reshape{rows}, {x}, like);
    }
    const std::vector<NodeId> key(pieces);
    remember(key);
    return g_.add(Concat{0}, key, like);
  }

  NodeId copied(NodeId x, const Node& like) {
    const auto [at, fresh] = copies_.emplace(x, no_node);
    if (fresh) at->second = g_.add(Copy{}, {x}, like);
    return at->second;
  }

  // ---- Sums of products, and of row sums ----

  /// An add_n whose terms become fewer.
  struct Sum {
    NodeId node;
    Group products, stacks, row_sums, rest;
  };

  void sums();
  void collect(NodeId sum, std::vector<Sum>& all);
  void rewrite(const Sum& s);
  bool short_stack(NodeId i);
  NodeId long_product(const Group& group, const Node& like);
  NodeId long_stack(const Group& group, const Node& like);
  NodeId long_sum(const Group& group, const Node& like);

  // ---- Products that share a matrix ----

  struct Key {
    const OpInfo* info;
    std::uint64_t attributes;
    NodeId matrix;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const {
      return detail::mix(detail::mix(reinterpret_cast<std::uintptr_t>(k.info), k.attributes), k.matrix);
    }
  };

  void share_matrices();
  void merge(const Group& group);
  void replace(Group& group);
  void sort_topologically();

  Graph g_;
  Replacements replaced_;
  Notes& notes_;
  std::vector<std::uint32_t> uses_;
  NodeId old_;
  std::vector<NodeId> order_;
  std::vector<Position> sequence_;
  std::unordered_map<NodeId, NodeId> copies_;
  std::vector<std::uint32_t> depth_;
  std::vector<bool> in_group_;
};

// ---- Sums of products, and of row sums ----

// Whether a node is a product for each of a stack of matrices, such as an example's part of a gradient, of so few rows
// that copying them costs less than adding up what it gives.
bool Batcher::short_stack(NodeId i) {
  if (!is_product(g_, i) || !sums_over_rows(g_, i) || shape(i).rank() < 3) return false;
  if (shape(g_.in(i, 1)).rank() != shape(i).rank()) return false;
  const Shape& y = shape(i);
  const Index m = y[y.rank() - 2], n = y[y.rank() - 1], k = shape(g_.in(i, 0))[y.rank() - 2];
  // Each of the three may grow with the steps.
  const auto is_short = [](double a, double b, double c) { return c * (a + b) < a * b; };
  const auto l = notes_.times_longer, a = static_cast<double>(m), b = static_cast<double>(n),
             c = static_cast<double>(k);
  const bool now = is_short(a, b, c);
  for (const bool longer_m : {false, true})
    for (const bool longer_n : {false, true})
      for (const bool longer_k : {false, true})
        if (is_short(longer_m ? a * l : a, longer_n ? b * l : b, longer_k ? c * l : c) != now)
          notes_.hold_when_longer = false;
  return now;
}

// Orders are settled first, those of operands that stand in an order already before the others.
void Batcher::sums() {
  std::vector<Sum> all;
  for (NodeId i = 0; i < old_; ++i)
    if (g_.is<AddN>(i)) collect(i, all);
  const std::uint32_t both[] = {0, 1}, one[] = {0};
  const auto settle = [&](Group& group, std::span<const std::uint32_t> operands) {
    order(group, operands);
    for (std::uint32_t k : operands) {
      std::vector<NodeId> pieces;
      for (NodeId m : group) pieces.push_back(g_.in(m, k));
      remember(pieces);
    }
  };
  const auto given = [&](const Group& g) { return in_one_base(g, 0) || in_one_base(g, 1); };
  for (const bool first : {true, false})
    for (Sum& s : all)
      if (!s.products.empty() && given(s.products) == first) settle(s.products, both);
  for (Sum& s : all) {
    if (!s.row_sums.empty()) settle(s.row_sums, one);
    if (!s.stacks.empty()) order(s.stacks, both);
  }
  for (const Sum& s : all) rewrite(s);
}

void Batcher::collect(NodeId sum, std::vector<Sum>& all) {
  Sum s{sum, {}, {}, {}, {}};
  const auto fits = [&](const Group& group, NodeId t) { return group.empty() || same_op(g_, t, group[0]); };
  for (NodeId t : g_.in(sum)) {
    const bool mine = uses_[t] == 1;
    if (mine && is_product(g_, t) && sums_over_rows(g_, t) && shape(t).rank() == 2 && fits(s.products, t))
      s.products.push_back(t);
    else if (mine && short_stack(t) && fits(s.stacks, t))
      s.stacks.push_back(t);
    else if (mine && adds_rows(g_, t) && fits(s.row_sums, t) &&
             (s.row_sums.empty() || shape(g_.in(t, 0)).cols() == shape(g_.in(s.row_sums[0], 0)).cols()))
      s.row_sums.push_back(t);
    else
      s.rest.push_back(t);
  }
  for (Group* group : {&s.products, &s.stacks, &s.row_sums})
    if (group->size() < 2) s.rest.insert(s.rest.end(), group->begin(), group->end()), group->clear();
  if (!s.products.empty() || !s.stacks.empty() || !s.row_sums.empty()) all.push_back(std::move(s));
}

void Batcher::rewrite(const Sum& s) {
  const Node like = g_.nodes[s.node];
  Group terms = s.rest;
  if (!s.products.empty()) terms.insert(terms.begin(), long_product(s.products, like));
  if (!s.stacks.empty()) terms.insert(terms.begin(), long_stack(s.stacks, like));
  if (!s.row_sums.empty()) terms.insert(terms.begin(), long_sum(s.row_sums, like));
  replaced_.replace(s.node, terms.size() == 1 ? terms[0] : g_.add(AddN{}, terms, like));
}

NodeId Batcher::long_product(const Group& group, const Node& like) {
  const NodeId a = stacked(group, 0, like), b = stacked(group, 1, like);
  const Node first = g_.nodes[group[0]];
  notes_.lines.push_back(fmt::format("{} products {} x {} that are summed: one product over {} rows", group.size(),
                                     shape(g_.in(group[0], 0)).str(), shape(g_.in(group[0], 1)).str(), shape(a)[0]));
  return g_.add(*first.info, first.op, std::array{a, b}, first);
}

// Rows behind each other within each of the stack's matrices.
NodeId Batcher::long_stack(const Group& group, const Node& like) {
  const auto joined = [&](std::uint32_t k) {
    Group pieces;
    for (NodeId m : group) pieces.push_back(g_.in(m, k));
    return g_.add(Concat{shape(pieces[0]).rank() - 2}, pieces, like);
  };
  const NodeId a = joined(0), b = joined(1);
  const Node first = g_.nodes[group[0]];
  notes_.lines.push_back(fmt::format("{} products of stacks {} x {} that are summed: one, {} x {}", group.size(),
                                     shape(g_.in(group[0], 0)).str(), shape(g_.in(group[0], 1)).str(), shape(a).str(),
                                     shape(b).str()));
  return g_.add(*first.info, first.op, std::array{a, b}, first);
}

NodeId Batcher::long_sum(const Group& group, const Node& like) {
  const NodeId all = stacked(group, 0, like);
  const Shape to = shape(group[0]);
  notes_.lines.push_back(fmt::format("{} sums of rows {}: one over {} rows", group.size(),
                                     shape(g_.in(group[0], 0)).str(), shape(all)[0]));
  if (to.rank() <= 2) return g_.add(SumTo{to}, {all}, like);
  return g_.add(Reshape{to}, {g_.add(SumTo{Shape{to.cols()}}, {all}, like)}, like);
}

// ---- Products that share a matrix ----

void Batcher::share_matrices() {
  std::vector<Group> groups;
  std::unordered_map<Key, std::size_t, KeyHash> numbers;
  for (NodeId i = 0; i < old_; ++i) {
    const Node& n = g_.nodes[i];
    if (replaced_.is_replaced(i) || !is_product(g_, i) || !rows_are_independent(g_, i)) continue;
    const NodeId b = replaced_.now(g_.in(i, 1));
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
      const NodeId x = replaced_.now(raw);
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
    for (NodeId& e : std::span(g_.edges.data() + g_.nodes[m].first, g_.nodes[m].arity)) e = replaced_.now(e);
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
    replaced_.replace(m, part);
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
      if (k < g_.nodes[i].arity) {
        const NodeId x = replaced_.now(g_.in(i, k++));
        if (state[x] == 0) state[x] = 1, stack.emplace_back(x, 0);
        continue;
      }
      order_.push_back(i);
      stack.pop_back();
    }
  };
  for (NodeId o : g_.outputs) visit(replaced_.now(o));
  for (const Effect& e : g_.effects) visit(replaced_.now(e.value));
}

}  // namespace

Graph batch(const Graph& g, Notes& notes) { return Batcher(g, notes).run(); }

}  // namespace rw::ir
