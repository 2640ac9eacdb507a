#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Appends to one graph, as the batcher does.
class MatrixJoiner {
 public:
  MatrixJoiner(const Graph& g, Notes& notes)
      : g_(g), replaced_(g), notes_(notes), uses_(use_counts(g)), old_(g.size()), depth_(old_) {}

  Graph run() {
    for (NodeId i = 0; i < old_; ++i)
      for (NodeId x : g_.in(i)) depth_[i] = std::max(depth_[i], depth_[x] + (is_product(g_, x) ? 1u : 0u));
    join_sums();
    join_products();
    if (!changed_) return std::move(g_);
    replaced_.apply(g_);
    return sorted(std::move(g_));
  }

 private:
  using Nodes = std::vector<NodeId>;
  /// Equal products: op, attributes, and what they share.
  struct Key {
    const OpInfo* info;
    std::uint64_t attributes;
    NodeId shared;
    std::uint32_t depth;
    auto operator<=>(const Key&) const = default;
  };
  /// What a set of matrices is multiplied by: how often, and operations.
  struct Work {
    double calls = 0, flops = 0;
  };

  const Shape& shape(NodeId i) const { return g_.nodes[i].shape; }
  Key key(NodeId i, NodeId shared, std::uint32_t depth) const {
    const OpInfo* info = g_.nodes[i].info;
    return {info, info->attribute_size > 0 ? info->hash(g_.nodes[i].op) : 0, shared, depth};
  }
  NodeId concat(Index axis, const Nodes& pieces, const Node& like) {
    const auto [at, fresh] = concats_.emplace(std::pair(axis, pieces), no_node);
    if (fresh) at->second = g_.add(Concat{axis}, pieces, like);
    return at->second;
  }
  Nodes second_operands(const Nodes& group) const {
    Nodes out;
    for (NodeId m : group) out.push_back(g_.in(m, 1));
    return out;
  }

  // Products by matrices of a's own are summed: a1 b1' + a2 b2' = [a1 a2] [b1 b2]'.
  void join_sums() {
    std::vector<std::pair<NodeId, Nodes>> sums;
    std::map<Nodes, Work> work;
    for (NodeId i = 0; i < old_; ++i) {
      if (!g_.is<AddN>(i)) continue;
      std::map<Key, Nodes> groups;
      for (NodeId t : g_.in(i))
        if (uses_[t] == 1 && is_product_by_matrix(g_, t) && !product_of(g_, t).ta && product_of(g_, t).tb &&
            is_part_of_leaf(g_, g_.in(t, 1)) && !is_part_of_leaf(g_, g_.in(t, 0)))
          groups[key(t, 0, 0)].push_back(t);
      for (auto& [unused, group] : groups) {
        std::sort(group.begin(), group.end(), [&](NodeId a, NodeId b) { return g_.in(a, 1) < g_.in(b, 1); });
        if (group.size() < 2 || repeats(group)) continue;
        add_work(group, work[second_operands(group)]);
        sums.emplace_back(i, group);
      }
    }
    for (const auto& [sum, group] : sums)
      if (pays(second_operands(group), work[second_operands(group)])) join_sum(sum, group);
  }
  void add_work(const Nodes& group, Work& work) const {
    work.calls += static_cast<double>(group.size() - 1);
    for (NodeId m : group) {
      work.flops += 2.0 * static_cast<double>(shape(m).size()) * static_cast<double>(inner_length(g_, m));
    }
  }
  // Copying the matrices side by side, once a replay, takes about a nanosecond an element; a call saved is some 150,
  // and a wider product a little faster.
  bool pays(const Nodes& matrices, const Work& work) {
    double elements = 0;
    for (NodeId b : matrices) elements += static_cast<double>(shape(b).size());
    const double saved = 150 * work.calls + 2e-4 * work.flops, longer = notes_.times_longer;
    const bool grow = std::any_of(matrices.begin(), matrices.end(), [&](NodeId b) { return is_part_of_input(b); });
    // At the most both the products and their sizes grow with the steps.
    if (saved > elements ? grow && saved <= elements * longer : saved * longer * longer > elements)
      notes_.hold_when_longer = false;
    return saved > elements;
  }
  bool is_part_of_input(NodeId b) const { return g_.nodes[behind_views(g_, b)].role == Role::input; }
  // Whether two members share their matrix: then they are batched by rows.
  bool repeats(const Nodes& group) const {
    for (std::size_t k = 1; k < group.size(); ++k)
      if (g_.in(group[k], 1) == g_.in(group[k - 1], 1)) return true;
    return false;
  }

  void join_sum(NodeId sum, const Nodes& group) {
    const Node like = g_.nodes[sum], first = g_.nodes[group[0]];
    Nodes a;
    for (NodeId m : group) a.push_back(g_.in(m, 0));
    Nodes sorted_a(a);
    std::sort(sorted_a.begin(), sorted_a.end());
    orders_.emplace(sorted_a, a);
    const NodeId wide = concat(shape(a[0]).rank() - 1, a, like), matrix = concat(1, second_operands(group), like);
    Nodes terms{g_.add(*first.info, first.op, std::array{wide, matrix}, first)};
    for (NodeId t : g_.in(sum))
      if (std::find(group.begin(), group.end(), t) == group.end()) terms.push_back(t);
    note(fmt::format("{} products that are summed, by matrices side by side: one with {} columns", group.size(),
                     shape(wide).cols()));
    changed_ = true;
    replaced_.replace(sum, terms.size() == 1 ? terms[0] : g_.add(AddN{}, terms, like));
  }

  // Products of one value: a b1, a b2 = a [b1 b2]. Equal depth, in products, means that none waits for another, however
  // many groups become one product each.
  void join_products() {
    std::map<Key, Nodes> groups;
    std::map<Nodes, Work> work;
    for (NodeId i = 0; i < old_; ++i)
      if (!replaced_.is_replaced(i) && is_product_by_matrix(g_, i)) groups[key(i, g_.in(i, 0), depth_[i])].push_back(i);
    for (auto& [unused, group] : groups) {
      std::sort(group.begin(), group.end(), [&](NodeId a, NodeId b) { return g_.in(a, 1) < g_.in(b, 1); });
      if (group.size() > 1) add_work(group, work[second_operands(group)]);
    }
    for (auto& [unused, group] : groups) {
      if (group.size() < 2 || repeats(group)) continue;
      const bool leaves =
          std::all_of(group.begin(), group.end(), [&](NodeId m) { return is_part_of_leaf(g_, g_.in(m, 1)); });
      if (leaves ? pays(second_operands(group), work[second_operands(group)]) : stand_side_by_side(group)) join(group);
    }
  }
  // Gradients of matrices: their second operands, or the rows of those, stand side by side already.
  bool stand_side_by_side(const Nodes& group) const {
    if (!product_of(g_, group[0]).ta || product_of(g_, group[0]).tb) return false;
    const Nodes b = second_operands(group);
    for (NodeId x : b) {
      if (is_stack(g_, x) != is_stack(g_, b[0]) || g_.nodes[x].arity != g_.nodes[b[0]].arity) return false;
      for (std::uint32_t k = 0; is_stack(g_, x) && k < g_.nodes[x].arity; ++k)
        if (shape(g_.in(x, k)).rank() != 2 || shape(g_.in(x, k))[0] != shape(g_.in(b[0], k))[0]) return false;
    }
    return !order_of(group).empty();
  }
  // The members in the order in which the last or first rows of their second operands stand already.
  Nodes order_of(const Nodes& group) const {
    for (const bool last : {true, false}) {
      Nodes rows;
      for (NodeId m : group) {
        const NodeId b = g_.in(m, 1);
        rows.push_back(is_stack(g_, b) ? g_.in(b, last ? g_.nodes[b].arity - 1 : 0) : b);
      }
      Nodes sorted_rows(rows);
      std::sort(sorted_rows.begin(), sorted_rows.end());
      const auto known = orders_.find(sorted_rows);
      if (known == orders_.end()) continue;
      Nodes out;
      for (NodeId row : known->second)
        out.push_back(group[static_cast<std::size_t>(std::find(rows.begin(), rows.end(), row) - rows.begin())]);
      return out;
    }
    return {};
  }

  // [b1 b2], of stacks the stack of [b1 b2].
  NodeId side_by_side(const Nodes& b, const Node& like) {
    if (!is_stack(g_, b[0]) || is_part_of_leaf(g_, b[0])) return concat(1, b, like);
    Nodes rows;
    for (std::uint32_t k = 0; k < g_.nodes[b[0]].arity; ++k) {
      Nodes pieces;
      for (NodeId x : b) pieces.push_back(g_.in(x, k));
      rows.push_back(concat(1, pieces, like));
    }
    return concat(0, rows, like);
  }

  void join(Nodes group) {
    if (const Nodes known = order_of(group); !known.empty()) group = known;
    const Node first = g_.nodes[group[0]];
    const bool tb = product_of(g_, group[0]).tb;
    const Nodes b = second_operands(group);
    const NodeId matrix = tb ? concat(0, b, first) : side_by_side(b, first);
    const NodeId whole = g_.add(*first.info, first.op, std::array{g_.in(group[0], 0), matrix}, first);
    note(fmt::format("{} products of one value: one with {} columns", group.size(), shape(whole).cols()));
    changed_ = true;
    Index at = 0;
    for (NodeId m : group) {
      const Index cols = shape(m).cols();
      replaced_.replace(m, g_.add(Slice{shape(m).rank() - 1, at, cols}, {whole}, Node(g_.nodes[m])));
      at += cols;
    }
  }

  void note(const std::string& line) {
    if (std::find(notes_.lines.begin(), notes_.lines.end(), line) == notes_.lines.end()) notes_.lines.push_back(line);
  }

  Graph g_;
  Replacements replaced_;
  Notes& notes_;
  std::vector<std::uint32_t> uses_;
  NodeId old_;
  std::vector<std::uint32_t> depth_;  // products before a node
  std::map<std::pair<Index, Nodes>, NodeId> concats_;
  std::map<Nodes, Nodes> orders_;  // of values that stand side by side
  bool changed_ = false;
};

}  // namespace

Graph join_matrices(const Graph& g, Notes& notes) { return MatrixJoiner(g, notes).run(); }

}  // namespace rw::ir
