#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {
namespace {

/// Gives every node a stage: the number of kernels and other steps that must have run before it. Elementwise nodes of
/// one stage, one shape and one connected piece are a kernel; two kernels never wait for each other, since every path
/// that leaves a kernel leads to a later stage.
class Fuser {
 public:
  explicit Fuser(const Graph& g) : g_(g), n_(g.size()), stage_(n_), member_(n_), parent_(n_) {}

  Graph run() {
    for (NodeId i = 0; i < n_; ++i) member_[i] = fusible(g_, i) && g_.nodes[i].arity <= 16;
    find_widths();
    as_soon_as_possible();
    as_late_as_free();
    connect();
    Graph out = g_;
    // A kernel of too many nodes is cut in the order of its nodes: no part waits for a later one.
    struct Kernel {
      std::uint32_t number = 0, nodes = most_nodes;
    };
    std::unordered_map<NodeId, Kernel> kernels;
    std::uint32_t count = 0;
    for (NodeId i = 0; i < n_; ++i) {
      if (!member_[i]) continue;
      Kernel& k = kernels[find(i)];
      const std::uint32_t terms = std::max(g_.nodes[i].arity, 1u);
      if (k.nodes + terms > most_nodes) k = {count++, 0};
      k.nodes += terms;
      out.nodes[i].kernel = k.number;
    }
    return sorted(std::move(out));
  }

 private:
  static constexpr std::uint32_t most_nodes = 240;  // counting each input, so that registers do not run out

  // What an operand is a part of, as long as that has the same rows: the gates of a step read parts of one product.
  NodeId whole_of(NodeId i, Index rows) const {
    while (is_view(g_, i) && g_.nodes[g_.in(i, 0)].shape.rows() == rows) i = g_.in(i, 0);
    return i;
  }

  // The columns of the kernel that a node belongs to. A node of one number a row belongs to the rows that it is
  // computed from, or else to the rows that read it.
  void find_widths() {
    width_.resize(n_);
    const auto is_column = [&](NodeId i) { return member_[i] && g_.nodes[i].shape.cols() == 1; };
    const auto adopt = [&](NodeId i, NodeId from) {
      if (width_[i] == 1 && member_[from] && g_.nodes[i].shape.rows() == g_.nodes[from].shape.rows())
        width_[i] = width_[from];
    };
    for (NodeId i = 0; i < n_; ++i) {
      width_[i] = sums_each_row(g_, i) ? g_.nodes[g_.in(i, 0)].shape.cols() : g_.nodes[i].shape.cols();
      if (is_column(i) && !sums_each_row(g_, i))
        for (NodeId in : g_.in(i))
          if (is_column(in)) adopt(i, in);
    }
    for (NodeId i = n_; i-- > 0;)
      for (NodeId in : g_.in(i))
        if (is_column(in) && is_column(i) && width_[i] > 1) adopt(in, i);
  }

  // Reshapes that keep rows and columns do not come between nodes of a kernel.
  bool same_space(NodeId a, NodeId b) const {
    const Node &x = g_.nodes[a], &y = g_.nodes[b];
    return x.shape.rows() == y.shape.rows() && width_[a] == width_[b] && x.dtype == y.dtype;
  }
  bool joins(NodeId from, NodeId to) const { return member_[from] && member_[to] && same_space(from, to); }

  void as_soon_as_possible() {
    for (NodeId i = 0; i < n_; ++i) {
      std::uint32_t s = 0;
      const bool view = is_view(g_, i) || is_leaf(g_, i);
      for (NodeId in : g_.in(i)) {
        const bool same = view || joins(in, i) || !runs(in);
        s = std::max(s, stage_[in] + (same ? 0u : 1u));
      }
      stage_[i] = s;
    }
  }
  // Whether something must run before the value is there: not for leaves, for numbers, and for views of these.
  bool runs(NodeId i) const {
    i = behind_views(g_, i);
    return !is_leaf(g_, i) && !g_.is<Fill>(i);
  }

  // Whether a node reads at most one value of its own size (a bias does not count), and that value is no part of its
  // kernel, as a product, or is such a node itself that nobody else reads.
  std::vector<bool> of_one_value() const {
    const std::vector<std::uint32_t> uses = use_counts(g_);
    std::vector<bool> out(n_);
    for (NodeId i = 0; i < n_; ++i) {
      int full = 0;
      for (NodeId in : g_.in(i)) {
        if (!runs(in) && g_.nodes[in].shape.size() < g_.nodes[i].shape.size()) continue;
        full += joins(in, i) && !(out[in] && uses[in] == 1) ? 2 : 1;
      }
      out[i] = member_[i] && !g_.is<AddN>(i) && full <= 1;
    }
    return out;
  }

  // Moves nodes to the stage of the first node that needs them, where that costs nothing. A gradient rule computes some
  // things from forward values alone; they could run in the forward kernel, but would then have to be stored. The same
  // holds for what needs arguments and parameters alone, as the first step's use of the initial state, and for what
  // reads no more than it would store.
  void as_late_as_free() {
    constexpr std::uint32_t never = 0xffffffffu;
    std::vector<std::uint32_t> kernel_use(n_, never), other_use(n_, never);  // the first stage that needs it
    const std::vector<bool> cheap = of_one_value();
    for (NodeId o : g_.outputs) other_use[o] = never - 1;
    for (const Effect& e : g_.effects) other_use[e.value] = never - 1;
    for (NodeId i = n_; i-- > 0;) {
      const bool free = g_.nodes[i].backward || stage_[i] == 0 || (cheap[i] && other_use[i] == never);
      if (member_[i] && !g_.is<AddN>(i) && free && kernel_use[i] != never && kernel_use[i] <= other_use[i])
        stage_[i] = std::max(stage_[i], kernel_use[i]);
      const bool view = is_view(g_, i);
      for (NodeId in : g_.in(i)) {
        const bool same = joins(in, i);
        std::uint32_t until = same ? stage_[i] : stage_[i] - std::min(stage_[i], 1u);
        if (view) until = std::min(kernel_use[i], other_use[i]);
        std::uint32_t& first = (same ? kernel_use : other_use)[in];
        first = std::min(first, until);
      }
    }
  }

  NodeId find(NodeId i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }

  void connect() {
    for (NodeId i = 0; i < n_; ++i) parent_[i] = i;
    // Nodes of one stage are connected when one reads the other, or both read the same values.
    std::map<std::pair<NodeId, std::uint32_t>, NodeId> readers;  // the first, by value and stage
    for (NodeId i = 0; i < n_; ++i) {
      if (!member_[i]) continue;
      for (NodeId in : g_.in(i)) {
        if (joins(in, i) && stage_[in] == stage_[i]) parent_[find(i)] = find(in);
        if (!runs(in) || (joins(in, i) && stage_[in] == stage_[i])) continue;
        const NodeId whole = whole_of(in, g_.nodes[i].shape.rows());
        const auto [known, is_first] = readers.emplace(std::pair(whole, stage_[i]), i);
        if (!is_first && same_space(known->second, i)) parent_[find(i)] = find(known->second);
      }
    }
  }

  const Graph& g_;
  NodeId n_;
  std::vector<std::uint32_t> stage_;
  std::vector<bool> member_;
  std::vector<Index> width_;
  std::vector<NodeId> parent_;
};

}  // namespace

Graph fuse(const Graph& g) { return Fuser(g).run(); }

}  // namespace rw::ir
