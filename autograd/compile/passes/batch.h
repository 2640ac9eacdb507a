#pragma once

#include <algorithm>
#include <unordered_map>

#include <rewind/autograd/compile/passes/passes.h>

namespace rw::ir {

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

  bool is_product(NodeId i) const;
  bool fact(bool (*f)(const void*), NodeId i) const { return f != nullptr && f(g_.nodes[i].op); }

  bool is_row_sum(NodeId i) const;

  /// An add_n whose terms become fewer.
  struct Sum {
    NodeId node;
    Group products, row_sums, rest;
  };

  void sums();
  void collect(NodeId sum, std::vector<Sum>& all);
  void rewrite(const Sum& s);
  NodeId long_product(const Group& group, const Node& like);
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
  Notes& notes_;
  std::vector<std::uint32_t> uses_;
  NodeId old_;
  std::vector<NodeId> forward_, order_;
  std::vector<Position> sequence_;
  std::unordered_map<NodeId, NodeId> copies_;
  std::vector<std::uint32_t> depth_;
  std::vector<bool> in_group_;
};

}  // namespace rw::ir
