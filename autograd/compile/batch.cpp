#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes.h>

namespace rw::ir {
namespace {

/// Works on one graph: new nodes are appended, and `forward_` says what took the place of a node. What is written last
/// may stand after its users: the graph is sorted at the end.
class Batcher {
 public:
  Batcher(const Graph& g, Notes& notes) : g_(g), notes_(notes), uses_(use_counts(g)), old_(g.size()) {}

  Graph run() {
    forward_.resize(old_);
    for (NodeId i = 0; i < old_; ++i) forward_[i] = i;
    sequence_.assign(old_, {no_node, 0});
    for (NodeId i = 0; i < old_; ++i)
      if (g_.is<Concat>(i) && g_.op<Concat>(i).axis == 0) remember(g_.in(i));
    sums();
    share_matrices();
    for (NodeId& e : g_.edges) e = resolve(e);
    for (NodeId& o : g_.outputs) o = resolve(o);
    for (Effect& e : g_.effects) e.value = resolve(e.value);
    return sorted(g_);
  }

 private:
  struct Position {
    NodeId sequence;
    Index at;
  };
  using Group = std::vector<NodeId>;

  NodeId resolve(NodeId i) const {
    while (i < forward_.size() && forward_[i] != i) i = forward_[i];
    return i;
  }
  const Shape& shape(NodeId i) const { return g_.nodes[i].shape; }
  NodeId root_of(NodeId i) const {
    while (g_.is<Reshape>(i)) i = g_.in(i, 0);
    return i;
  }

  // ---- The order in which operands stand behind each other ----

  void remember(std::span<const NodeId> pieces) {
    const NodeId name = root_of(pieces[0]);
    Index at = 0;
    for (NodeId p : pieces) {
      const NodeId root = root_of(p);
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
      const auto operand = [&](NodeId m) { return root_of(g_.in(m, k)); };
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
      const auto at = static_cast<Index>(root_of(g_.in(m, operands[0])));
      return g_.nodes[root_of(g_.in(m, operands[0]))].backward ? -at : at;
    });
  }
  bool in_one_base(const Group& group, std::uint32_t k) const {
    const NodeId base = flat(g_.in(group[0], k)).first;
    return base != root_of(g_.in(group[0], k)) &&
           std::all_of(group.begin(), group.end(), [&](NodeId m) { return flat(g_.in(m, k)).first == base; });
  }

  bool own_memory(NodeId i) const {
    i = root_of(i);
    return computes(*g_.nodes[i].info) && g_.nodes[i].info->alias == nullptr;
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

  bool is_product(NodeId i) const {
    return g_.nodes[i].info->product != nullptr && g_.nodes[i].info->rows_are_independent != nullptr;
  }
  bool fact(bool (*f)(const void*), NodeId i) const { return f != nullptr && f(g_.nodes[i].op); }

  bool is_row_sum(NodeId i) const {
    if (!g_.is<SumTo>(i) || shape(i).size() != shape(i).cols()) return false;
    return shape(i).cols() == shape(g_.in(i, 0)).cols() || shape(i).size() == 1;
  }

  /// An add_n whose terms become fewer.
  struct Sum {
    NodeId node;
    Group products, row_sums, rest;
  };

  // Orders are settled first, those of operands that stand in an order already before the others.
  void sums() {
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
    for (Sum& s : all)
      if (!s.row_sums.empty()) settle(s.row_sums, one);
    for (const Sum& s : all) rewrite(s);
  }

  void collect(NodeId sum, std::vector<Sum>& all) {
    Sum s{sum, {}, {}, {}};
    const auto fits = [&](const Group& group, NodeId t) {
      return group.empty() || (g_.nodes[t].info == g_.nodes[group[0]].info &&
                               (g_.nodes[t].info->attribute_size == 0 ||
                                g_.nodes[t].info->equal(g_.nodes[t].op, g_.nodes[group[0]].op)));
    };
    for (NodeId t : g_.in(sum)) {
      const bool mine = uses_[t] == 1;
      if (mine && is_product(t) && fact(g_.nodes[t].info->sums_over_rows, t) && shape(t).rank() == 2 &&
          fits(s.products, t))
        s.products.push_back(t);
      else if (mine && is_row_sum(t) && fits(s.row_sums, t) &&
               (s.row_sums.empty() || shape(g_.in(t, 0)).cols() == shape(g_.in(s.row_sums[0], 0)).cols()))
        s.row_sums.push_back(t);
      else
        s.rest.push_back(t);
    }
    for (Group* group : {&s.products, &s.row_sums})
      if (group->size() < 2) s.rest.insert(s.rest.end(), group->begin(), group->end()), group->clear();
    if (!s.products.empty() || !s.row_sums.empty()) all.push_back(std::move(s));
  }

  void rewrite(const Sum& s) {
    const Node like = g_.nodes[s.node];
    Group terms = s.rest;
    if (!s.products.empty()) terms.insert(terms.begin(), long_product(s.products, like));
    if (!s.row_sums.empty()) terms.insert(terms.begin(), long_sum(s.row_sums, like));
    forward_[s.node] = terms.size() == 1 ? terms[0] : g_.add(AddN{}, terms, like);
  }

  NodeId long_product(const Group& group, const Node& like) {
    const NodeId a = stacked(group, 0, like), b = stacked(group, 1, like);
    const Node first = g_.nodes[group[0]];
    notes_.lines.push_back(fmt::format("{} products {} x {} that are summed: one product over {} rows", group.size(),
                                       shape(g_.in(group[0], 0)).str(), shape(g_.in(group[0], 1)).str(), shape(a)[0]));
    return g_.add(*first.info, first.op, std::array{a, b}, first);
  }

  NodeId long_sum(const Group& group, const Node& like) {
    const NodeId all = stacked(group, 0, like);
    const Shape to = shape(group[0]);
    notes_.lines.push_back(fmt::format("{} sums of rows {}: one over {} rows", group.size(),
                                       shape(g_.in(group[0], 0)).str(), shape(all)[0]));
    if (to.rank() <= 2) return g_.add(SumTo{to}, {all}, like);
    return g_.add(Reshape{to}, {g_.add(SumTo{Shape{to.cols()}}, {all}, like)}, like);
  }

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

  void share_matrices() {
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
  void merge(const Group& group) {
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

  void replace(Group& group) {
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

  void sort_topologically() {
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

  Graph g_;
  Notes& notes_;
  std::vector<std::uint32_t> uses_;
  NodeId old_;
  std::vector<NodeId> forward_, order_;
  std::vector<Position> sequence_;
  std::unordered_map<NodeId, NodeId> copies_;
  std::vector<std::uint32_t> depth_;
  std::vector<bool> in_group_;
};

}  // namespace

Graph batch(const Graph& g, Notes& notes) { return Batcher(g, notes).run(); }

}  // namespace rw::ir
