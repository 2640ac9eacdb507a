#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Finds values of forward kernels that kernels of the backward half read, and can as well compute again from what is
/// kept anyway.
class Rematerializer {
 public:
  Rematerializer(const Graph& g, Rematerialize what) : g_(g), what_(what), uses_(g.size()), again_(g.size()) {}

  Graph run() {
    find_uses();
    bool any = false;
    for (NodeId i = 0; i < g_.size(); ++i) any = (again_[i] = is_worth(i)) || any;
    return any ? rewritten() : g_;
  }

 private:
  struct Uses {
    bool backward = false;   // by nodes of the backward half, through views too
    bool elsewhere = false;  // as a result, or by something of the backward half that is in no kernel
    bool forward = false;
  };

  void find_uses() {
    for (NodeId i = 0; i < g_.size(); ++i)
      for (NodeId in : g_.in(i)) {
        Uses& own = uses_[in];
        own.backward = own.backward || g_.nodes[i].backward;
        own.forward = own.forward || !g_.nodes[i].backward;
        own.elsewhere = own.elsewhere || (g_.nodes[i].backward && !fusible(g_, i));
      }
    for (NodeId o : g_.outputs) uses_[o].elsewhere = true;
    for (const Effect& e : g_.effects) uses_[e.value].elsewhere = true;
    // What a view is read by reads what it views.
    for (NodeId i = g_.size(); i-- > 0;) {
      if (!is_view(g_, i)) continue;
      Uses& whole = uses_[g_.in(i, 0)];
      whole.backward = whole.backward || uses_[i].backward;
      whole.elsewhere = whole.elsewhere || uses_[i].backward || uses_[i].elsewhere;
    }
  }

  bool is_kept(NodeId i) const {
    i = behind_views(g_, i);
    return is_leaf(g_, i) || g_.is<Fill>(i) || (uses_[i].backward && !again_[i]);
  }

  bool is_worth(NodeId i) const {
    const Node& n = g_.nodes[i];
    if (n.backward || n.info->elementwise == nullptr || !fusible(g_, i)) return false;
    if (what_ == Rematerialize::arithmetic && n.info->elementwise->arithmetic == Arithmetic::none) return false;
    const Uses& uses = uses_[i];
    if (!uses.backward || !uses.forward || uses.elsewhere) return false;
    bool depends = false;  // on more than numbers
    for (NodeId in : g_.in(i)) {
      if (!is_kept(in)) return false;
      depends = depends || !g_.is<Fill>(in);
    }
    return depends;
  }

  Graph rewritten() {
    Rewriter rewriter(g_);
    std::vector<NodeId> copies(g_.size(), no_node);
    for (NodeId i = 0; i < g_.size(); ++i) {
      std::vector<NodeId> inputs = rewriter.inputs(i);
      if (g_.nodes[i].backward)
        for (std::uint32_t k = 0; k < g_.nodes[i].arity; ++k) {
          const NodeId x = g_.in(i, k);
          if (!again_[x]) continue;
          if (copies[x] == no_node) copies[x] = copy_of(x, rewriter);
          inputs[k] = copies[x];
        }
      rewriter.put(i, rewriter.to.append(g_.nodes[i], inputs));
    }
    return rewriter.done();
  }

  NodeId copy_of(NodeId x, Rewriter& rewriter) const {
    Node n = g_.nodes[x];
    n.backward = true;
    return rewriter.to.append(n, rewriter.inputs(x));
  }

  const Graph& g_;
  Rematerialize what_;
  std::vector<Uses> uses_;
  std::vector<bool> again_;
};

}  // namespace

Graph rematerialize(const Graph& g, Rematerialize what) {
  return what == Rematerialize::nothing ? g : Rematerializer(g, what).run();
}

}  // namespace rw::ir
