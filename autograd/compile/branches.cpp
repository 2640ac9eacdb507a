#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes.h>

namespace rw::ir {
namespace {

/// Finds stretches of the graph that fall into parts which do not depend on each other, as the two directions of a
/// recurrent layer do, and gives each part to a thread. Steps are sorted by depth: the number of steps that must have
/// run before. A stretch is a range of depths; it ends where its parts meet.
class Brancher {
 public:
  Brancher(const Graph& g, int threads, double from, Notes& notes)
      : g_(g), threads_(std::min(threads, 15)), from_(from), notes_(notes), unit_of_(g.size()) {}

  Graph run() {
    if (threads_ < 2 || gradients_meet()) return g_;
    find_units();
    find_depths();
    find_stretches();
    return stretches_ == 0 ? g_ : reordered();
  }

 private:
  using UnitId = std::uint32_t;
  /// What runs as one: a kernel, or a node.
  struct Unit {
    NodeId begin = 0, end = 0;
    std::uint32_t depth = 0;
    double cost = 0;      // microseconds, estimated
    bool source = false;  // there without a step, for all
    UnitId parent = 0;    // in the tree of its part
    double sum = 0;       // of the part's costs, at its root
    std::uint32_t stretch = 0, branch = 0;
  };

  // Two products must not add to one gradient at a time.
  bool gradients_meet() const {
    std::vector<bool> seen(g_.store->parameters.size());
    for (const Effect& e : g_.effects) {
      if (seen[e.parameter]) return true;
      seen[e.parameter] = true;
    }
    return false;
  }

  bool is_view(NodeId i) const { return g_.nodes[i].info->alias != nullptr; }

  void find_units() {
    for (NodeId i = 0; i < g_.size(); ++i) {
      const std::uint32_t kernel = g_.nodes[i].kernel;
      if (i == 0 || kernel == no_kernel || g_.nodes[i - 1].kernel != kernel) {
        units_.emplace_back();
        units_.back().begin = i;
        units_.back().source = true;
      }
      Unit& u = units_.back();
      u.end = i + 1;
      u.cost += cost_of(i);
      unit_of_[i] = static_cast<UnitId>(units_.size() - 1);
      bool source = is_view(i) || !computes(*g_.nodes[i].info);
      for (NodeId in : g_.in(i)) source = source && units_[unit_of_[in]].source;
      u.source = u.source && source;
    }
  }

  double cost_of(NodeId i) const {
    const Node& n = g_.nodes[i];
    if (is_view(i) || !computes(*n.info)) return 0;
    Index elements = n.shape.size();
    if (n.info->product != nullptr) {
      const Node& a = g_.nodes[g_.in(i, 0)];
      const Index k = n.info->product(n.op).ta ? a.shape.rows() : a.shape.cols();
      return 0.3 + 1.25e-5 * static_cast<double>(elements * k);
    }
    if (n.kernel != no_kernel) return 0.05 + 1.7e-4 * static_cast<double>(elements);
    for (NodeId in : g_.in(i)) elements = std::max(elements, g_.nodes[in].shape.size());
    return 0.3 + 3e-4 * static_cast<double>(elements);
  }

  template <class F>
  void for_each_input(UnitId u, F&& f) const {
    for (NodeId i = units_[u].begin; i < units_[u].end; ++i)
      for (NodeId in : g_.in(i))
        if (unit_of_[in] != u && !units_[unit_of_[in]].source) f(unit_of_[in]);
  }

  void find_depths() {
    for (UnitId u = 0; u < units_.size(); ++u) {
      Unit& unit = units_[u];
      if (unit.source) continue;
      const std::uint32_t own = is_view(unit.begin) && unit.end == unit.begin + 1 ? 0 : 1;
      for_each_input(u, [&](UnitId in) { unit.depth = std::max(unit.depth, units_[in].depth + own); });
      if (by_depth_.size() <= unit.depth) by_depth_.resize(unit.depth + 1);
      by_depth_[unit.depth].push_back(u);
    }
  }

  UnitId root_of(UnitId u) const {
    while (units_[u].parent != u) u = units_[u].parent;
    return u;
  }

  // Parts of the present stretch, and how to take back what the last depth has joined.
  double total_ = 0, largest_ = 0;
  std::vector<UnitId> joined_;

  void begin(std::uint32_t depth) {
    first_ = depth;
    total_ = largest_ = 0;
    add(depth);
  }

  void add(std::uint32_t depth) {
    joined_.clear();
    for (UnitId u : by_depth_[depth]) {
      units_[u].parent = u;
      units_[u].sum = units_[u].cost;
      total_ += units_[u].cost;
      largest_ = std::max(largest_, units_[u].sum);
      for_each_input(u, [&](UnitId in) {
        if (units_[in].depth < first_) return;
        UnitId a = root_of(in), b = root_of(u);
        if (a == b) return;
        if (units_[a].sum < units_[b].sum) std::swap(a, b);
        units_[b].parent = a;
        units_[a].sum += units_[b].sum;
        largest_ = std::max(largest_, units_[a].sum);
        joined_.push_back(b);
      });
    }
  }

  void take_back() {
    for (std::size_t k = joined_.size(); k-- > 0;) {
      const UnitId b = joined_[k];
      units_[units_[b].parent].sum -= units_[b].sum;
      units_[b].parent = b;
    }
  }

  void find_stretches() {
    if (by_depth_.empty()) return;
    begin(0);
    for (std::uint32_t d = 1; d < by_depth_.size(); ++d) {
      const double before = total_ - largest_;
      add(d);
      if (total_ - largest_ >= 0.8 * before && total_ - largest_ > 0.2 * total_) continue;
      take_back();
      close(d);
      begin(d);
    }
    close(static_cast<std::uint32_t>(by_depth_.size()));
  }

  // The stretch of depths [first_, end): its parts are shared among threads if that is quicker than what the kernels
  // do by themselves, each on all threads.
  void close(std::uint32_t end) {
    std::vector<UnitId> parts;
    double alone = 0;
    for (std::uint32_t d = first_; d < end; ++d) {
      for (UnitId u : by_depth_[d]) {
        if (units_[u].parent == u) parts.push_back(u);
        const double cost = units_[u].cost;
        alone += cost < 12 ? cost : std::min(cost, 2 + 1.15 * cost / threads_);
      }
    }
    if (parts.size() < 2 || alone < from_) return;
    std::stable_sort(parts.begin(), parts.end(), [&](UnitId a, UnitId b) { return units_[a].sum > units_[b].sum; });
    std::vector<double> load(static_cast<std::size_t>(threads_));
    for (UnitId part : parts) {
      const auto least = std::min_element(load.begin(), load.end());
      units_[part].branch = static_cast<std::uint32_t>(least - load.begin()) + 1;
      *least += units_[part].sum;
    }
    const double longest = *std::max_element(load.begin(), load.end());
    const double begin_and_end = from_ / 3;
    if (longest + begin_and_end > 0.9 * alone) return;
    ++stretches_;
    for (std::uint32_t d = first_; d < end; ++d) {
      for (UnitId u : by_depth_[d]) {
        units_[u].stretch = stretches_;
        units_[u].branch = units_[root_of(u)].branch;
      }
    }
    notes_.side_by_side.push_back(fmt::format("{} parts that do not depend on each other, about {:.0f} us in all",
                                              parts.size(), std::accumulate(load.begin(), load.end(), 0.0)));
    ends_.push_back(end);
  }

  // Stretches in the order of depth, and what is between them, each in the order that it had.
  Graph reordered() const {
    std::vector<UnitId> order(units_.size());
    std::iota(order.begin(), order.end(), UnitId{0});
    const auto key = [&](UnitId u) {
      const Unit& unit = units_[u];
      if (unit.source) return std::pair<std::size_t, std::uint32_t>(0, 0);
      const auto past = std::upper_bound(ends_.begin(), ends_.end(), unit.depth) - ends_.begin();
      const bool within = unit.stretch > 0;
      return std::pair<std::size_t, std::uint32_t>(static_cast<std::size_t>(2 * past + 1) + (within ? 1 : 0),
                                                   within ? unit.branch : 0);
    };
    std::stable_sort(order.begin(), order.end(), [&](UnitId a, UnitId b) { return key(a) < key(b); });
    Graph out = g_.like();
    std::vector<NodeId> map(g_.size());
    std::vector<NodeId> in;
    for (UnitId u : order) {
      for (NodeId i = units_[u].begin; i < units_[u].end; ++i) {
        in.clear();
        for (NodeId x : g_.in(i)) in.push_back(map[x]);
        map[i] = out.append(g_.nodes[i], in);
        out.nodes[map[i]].branch = units_[u].stretch == 0 ? 0 : units_[u].stretch * 16 + units_[u].branch;
      }
    }
    for (NodeId o : g_.outputs) out.outputs.push_back(map[o]);
    for (const Effect& e : g_.effects) out.effects.push_back({e.parameter, map[e.value]});
    return out;
  }

  const Graph& g_;
  int threads_;
  double from_;
  Notes& notes_;
  std::vector<UnitId> unit_of_;
  std::vector<Unit> units_;
  std::vector<std::vector<UnitId>> by_depth_;
  std::uint32_t first_ = 0, stretches_ = 0;
  std::vector<std::uint32_t> ends_;
};

}  // namespace

Graph branches(const Graph& g, int threads, double from_microseconds, Notes& notes) {
  return Brancher(g, threads, from_microseconds, notes).run();
}

}  // namespace rw::ir
