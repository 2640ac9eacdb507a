#pragma once

#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// Writes a graph anew, node by node, and knows what took the place of each node. A pass of this kind decides for each
/// node in turn: `copy` it, or append others to `to` and `put` one of them in its place.
class Rewriter {
 public:
  /// `from` must outlive the rewriter.
  explicit Rewriter(const Graph& from) : from_(from), now_(from.size(), no_node), to(from.like()) {}

  /// What took the place of `old`; no_node before that is known.
  NodeId now(NodeId old) const { return now_[old]; }
  void put(NodeId old, NodeId now) { now_[old] = now; }

  /// The inputs of `old`, each by what took its place; valid until the next call.
  std::vector<NodeId>& inputs(NodeId old) {
    inputs_.clear();
    for (NodeId x : from_.in(old)) inputs_.push_back(now_[x]);
    return inputs_;
  }
  /// The same op of these inputs.
  NodeId copy(NodeId old) { return now_[old] = to.append(from_.nodes[old], inputs(old)); }

  /// The new graph, with the results and effects of the old one: its live nodes, sorted.
  Graph done() {
    results();
    return sorted(std::move(to));
  }
  /// The same as it was written.
  Graph done_in_order() {
    results();
    return std::move(to);
  }

 private:
  void results() {
    for (NodeId o : from_.outputs) to.outputs.push_back(now_[o]);
    for (const Effect& e : from_.effects) to.effects.push_back({e.parameter, now_[e.value]});
  }

  const Graph& from_;
  std::vector<NodeId> now_, inputs_;

 public:
  Graph to;  // what has been written
};

/// For passes that append to a graph, and let new nodes take the place of old ones.
class Replacements {
 public:
  explicit Replacements(const Graph& g) : now_(g.size()) { std::iota(now_.begin(), now_.end(), NodeId{0}); }

  void replace(NodeId old, NodeId now) { now_[old] = now; }
  bool is_replaced(NodeId old) const { return old < now_.size() && now_[old] != old; }
  /// What is in the place of `i` in the end.
  NodeId now(NodeId i) const {
    while (is_replaced(i)) i = now_[i];
    return i;
  }
  /// Lets everybody who reads an old node read what took its place.
  void apply(Graph& g) const {
    for (NodeId& e : g.edges) e = now(e);
    for (NodeId& o : g.outputs) o = now(o);
    for (Effect& e : g.effects) e.value = now(e.value);
  }

 private:
  std::vector<NodeId> now_;
};

}  // namespace rw::ir
