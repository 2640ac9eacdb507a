#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/rewrite.h>
#include <rewind/core/long_sum.h>

namespace rw::ir {
namespace {

/// A long sum under way, in the blocks of core/long_sum.h: `total` of the last of its first `next` terms, and what is
/// set aside.
struct Sum {
  struct Level {
    NodeId total = no_node;
    int terms = 0;
  };
  NodeId node = no_node, total = no_node;
  std::uint32_t next = 0;
  std::vector<Level> aside = {};
};

class RunningSums {
 public:
  RunningSums(const Graph& g, std::uint32_t most, Notes& notes)
      : g_(g), most_(most), notes_(notes), rewriter_(g), waits_(g.size()) {}

  Graph run() {
    for (NodeId i = 0; i < g_.size(); ++i)
      if (g_.is<AddN>(i) && g_.nodes[i].arity > most_ && fusible(g_, i)) {
        sums_.push_back({i, no_node, 0, {}});
        if (g_.nodes[i].arity * notes_.times_longer > LongSum::block) notes_.hold_when_longer = false;  // other blocks
        for (NodeId x : g_.in(i)) waits_[x].push_back(static_cast<std::uint32_t>(sums_.size() - 1));
      }
    if (sums_.empty()) return g_;
    for (NodeId i = 0; i < g_.size(); ++i) {
      if (rewriter_.now(i) == no_node) rewriter_.copy(i);  // else the last of the terms has finished it
      for (std::uint32_t s : waits_[i]) advance(sums_[s]);
    }
    return rewriter_.done();
  }

 private:
  void advance(Sum& s) {
    if (rewriter_.now(s.node) != no_node) return;  // its last term is a term more than once
    const auto terms = g_.in(s.node);
    for (; s.next < terms.size() && rewriter_.now(terms[s.next]) != no_node; ++s.next) {
      const NodeId term = rewriter_.now(terms[s.next]);
      const bool begins = s.next % LongSum::block == 0;
      if (begins && s.next > 0) set_aside(s);
      s.total = begins ? term : plus(s, s.total, term);
    }
    if (s.next < terms.size()) return;
    for (const Sum::Level& level : s.aside)
      if (level.terms > 0) s.total = plus(s, s.total, level.total);
    rewriter_.put(s.node, s.total);
  }

  void set_aside(Sum& s) {
    NodeId total = s.total;
    for (std::size_t k = 0;; ++k) {
      if (k == s.aside.size()) s.aside.emplace_back();
      Sum::Level& level = s.aside[k];
      level.total = level.terms == 0 ? total : plus(s, level.total, total);
      if (++level.terms < LongSum::block) return;
      level.terms = 0;
      total = level.total;
    }
  }

  NodeId plus(const Sum& s, NodeId a, NodeId b) { return rewriter_.to.add(AddN{}, {a, b}, g_.nodes[s.node]); }

  const Graph& g_;
  std::uint32_t most_;  // terms of a sum that stays as it is
  Notes& notes_;
  Rewriter rewriter_;
  std::vector<std::vector<std::uint32_t>> waits_;
  std::vector<Sum> sums_;
};

}  // namespace

Graph running_sums(const Graph& g, std::uint32_t most_terms, Notes& notes) {
  return RunningSums(g, most_terms, notes).run();
}

}  // namespace rw::ir
