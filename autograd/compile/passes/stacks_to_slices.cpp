#include <algorithm>
#include <numeric>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Values stacked by rows, of which each is a column of a value in another such stack: [a1; a2; ...] is a slice of
/// [[a1 b1]; [a2 b2]; ...]. One place then serves both.
class StackSharer {
 public:
  explicit StackSharer(const Graph& g) : g_(g), replaced_(g), columns_(g.size()), stacks_(g.size()) {}

  Graph run() {
    const NodeId old = g_.size();
    for (NodeId i = 0; i < old; ++i) {
      if (!g_.is<Concat>(i)) continue;
      if (stacks_rows(i))
        for (NodeId x : g_.in(i)) stacks_[root_of(x)].push_back(i);
      else if (g_.op<Concat>(i).axis == g_.nodes[i].shape.rank() - 1)
        add_columns(i);
    }
    bool changed = false;
    for (NodeId i = 0; i < old; ++i) {
      const Found found = stacks_rows(i) && g_.nodes[i].shape.rank() == 2 ? wider(i) : Found{};
      if (found.stack == no_node) continue;
      const Node like = g_.nodes[i];
      const NodeId rows = g_.add(Reshape{{like.shape[0], g_.nodes[found.stack].shape.cols()}}, {found.stack}, like);
      replaced_.replace(i, g_.add(Slice{1, found.column, like.shape[1]}, {rows}, like));
      // At once: what is looked for next must not close a circle with it.
      for (NodeId& e : g_.edges)
        if (e == i) e = replaced_.now(i);
      changed = true;
    }
    if (!changed) return std::move(g_);
    replaced_.apply(g_);
    return sorted(std::move(g_));
  }

 private:
  /// A value's first column in a concatenation.
  struct Column {
    NodeId whole = no_node;
    Index at = 0;
  };
  struct Found {
    NodeId stack = no_node;
    Index column = 0;
  };

  NodeId root_of(NodeId i) const {
    while (g_.is<Reshape>(i) && g_.nodes[g_.in(i, 0)].shape.cols() == g_.nodes[i].shape.cols()) i = g_.in(i, 0);
    return i;
  }
  bool stacks_rows(NodeId i) const { return is_stack(g_, i) && g_.nodes[i].shape.rank() >= 2 && g_.nodes[i].arity > 1; }
  void add_columns(NodeId whole) {
    Index at = 0;
    for (NodeId x : g_.in(whole)) {
      columns_[root_of(x)].push_back({whole, at});
      at += g_.nodes[x].shape.cols();
    }
  }

  // The stack that has the pieces of `narrow` in its rows, all in the same columns, and does not need it.
  Found wider(NodeId narrow) const {
    for (const Column& first : columns_[root_of(g_.in(narrow, 0))])
      for (const NodeId stack : stacks_[first.whole])
        if (stack != narrow && matches(narrow, stack, first.at) && !needs(replaced_.now(stack), narrow))
          return {replaced_.now(stack), first.at};
    return {};
  }
  bool matches(NodeId narrow, NodeId stack, Index at) const {
    if (g_.nodes[stack].arity != g_.nodes[narrow].arity ||
        g_.nodes[stack].shape.rows() != g_.nodes[narrow].shape.rows())
      return false;
    for (std::uint32_t k = 0; k < g_.nodes[narrow].arity; ++k) {
      const NodeId whole = root_of(g_.in(stack, k));
      const auto& columns = columns_[root_of(g_.in(narrow, k))];
      if (std::none_of(columns.begin(), columns.end(), [&](const Column& c) { return c.whole == whole && c.at == at; }))
        return false;
    }
    return true;
  }
  bool needs(NodeId user, NodeId value) const {
    std::vector<bool> visited(g_.size());
    std::vector<NodeId> open{user};
    while (!open.empty()) {
      const NodeId i = open.back();
      open.pop_back();
      if (i == value) return true;
      for (NodeId x : g_.in(i))
        if (!visited[x]) visited[x] = true, open.push_back(x);
    }
    return false;
  }

  Graph g_;
  Replacements replaced_;
  std::vector<std::vector<Column>> columns_;
  std::vector<std::vector<NodeId>> stacks_;
};

}  // namespace

Graph stacks_to_slices(const Graph& g) { return StackSharer(g).run(); }

}  // namespace rw::ir
