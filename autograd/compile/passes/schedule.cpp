#include <algorithm>
#include <array>
#include <bitset>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/costs.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

constexpr int most_lanes = 15;

/// What runs as one: a kernel, or a node.
struct Unit {
  NodeId begin = 0, end = 0;
  double cost = 0;      // microseconds of one thread, estimated
  bool source = false;  // there without a step, for all
  bool view = false;    // no step either
  double below = 0;     // from its begin to the end of all that needs it
  double start = 0, finish = 0;
  std::uint32_t lane = 0;
  std::bitset<most_lanes> cached_by;  // lanes in whose cache it is
};
using UnitId = std::uint32_t;

/// Gives units to lanes and decides for which sections of the order that this makes lanes are the better way.
class Scheduler {
 public:
  Scheduler(const Graph& g, int threads, const Choices& choices, Notes& notes)
      : g_(g),
        lanes_(std::min(threads, most_lanes)),
        threads_(threads),
        from_(choices.branch_from),
        costs_(choices.costs),
        notes_(notes),
        unit_of_(g.size()) {}

  Graph run() {
    if (threads_ < 2) return g_;
    if (gradients_meet()) {
      notes_.schedule.push_back("one kernel at a time: two values are added to the gradient of one parameter");
      return g_;
    }
    find_units();
    give_lanes();
    find_windows();
    choose_sections();
    return explain() ? reordered() : g_;
  }

 private:
  // Two products must not add to one gradient at a time.
  bool gradients_meet() const {
    std::vector<bool> added_to(g_.store->parameters.size());
    for (const Effect& e : g_.effects) {
      if (added_to[e.parameter]) return true;
      added_to[e.parameter] = true;
    }
    return false;
  }

  void find_units() {
    for (NodeId i = 0; i < g_.size(); ++i) {
      const Node& n = g_.nodes[i];
      if (i == 0 || n.kernel == no_kernel || g_.nodes[i - 1].kernel != n.kernel) {
        units_.emplace_back();
        units_.back().begin = i;
        units_.back().source = units_.back().view = true;
      }
      Unit& u = units_.back();
      u.end = i + 1;
      u.cost += cost_of(g_, i, costs_);
      unit_of_[i] = static_cast<UnitId>(units_.size() - 1);
      u.view = u.view && is_view(g_, i);
      bool source = is_view(g_, i) || is_leaf(g_, i);
      for (NodeId in : g_.in(i)) source = source && units_[unit_of_[in]].source;
      u.source = u.source && source;
    }
  }

  template <class F>
  void for_each_input(UnitId u, F&& f) const {
    for (NodeId i = units_[u].begin; i < units_[u].end; ++i)
      for (NodeId in : g_.in(i))
        if (unit_of_[in] != u) f(unit_of_[in], in);
  }

  double bytes(NodeId i) const {
    return static_cast<double>(g_.nodes[i].shape.size()) * static_cast<double>(size_of(g_.nodes[i].dtype));
  }

  // ---- List scheduling ----

  void give_lanes() {
    for (UnitId u = static_cast<UnitId>(units_.size()); u-- > 0;) {
      units_[u].below += units_[u].cost;
      for_each_input(u, [&](UnitId in, NodeId) { units_[in].below = std::max(units_[in].below, units_[u].below); });
    }
    std::vector<UnitId> order(units_.size());
    std::iota(order.begin(), order.end(), UnitId{0});
    std::stable_sort(order.begin(), order.end(), [&](UnitId a, UnitId b) { return units_[a].below > units_[b].below; });
    for (UnitId u : order)
      if (!units_[u].source) give_lane(u);
  }

  // What another lane computed, or used last, comes from its cache, which takes about as long as from memory.
  void give_lane(UnitId u) {
    Unit& unit = units_[u];
    const double distrust = std::min(1.0, from_ / 60), far = costs_.from_other * distrust;
    const double far_byte = costs_.far_byte * distrust;
    std::array<double, most_lanes> ready{}, extra{};
    std::uint32_t of_last = 0;
    double last = -1;
    for_each_input(u, [&](UnitId in, NodeId value) {
      const Unit& x = units_[in];
      if (!x.source && x.finish > last) last = x.finish, of_last = x.lane;
      for (std::uint32_t lane = 0; lane < lanes(); ++lane) {
        ready[lane] = std::max(ready[lane], x.finish + (!x.source && x.lane != lane ? far : 0));
        if (x.cached_by.any() && !x.cached_by[lane]) extra[lane] += bytes(value) * far_byte;
      }
    });
    if (unit.view || unit.cost == 0) {
      unit.lane = of_last;
      unit.start = unit.finish = std::max(last, 0.0);
    } else {
      unit.finish = 1e300;
      for (std::uint32_t lane = 0; lane < lanes(); ++lane) {
        const double start = std::max(ready[lane], busy_[lane]), finish = start + unit.cost + extra[lane];
        if (finish < unit.finish) unit.lane = lane, unit.start = start, unit.finish = finish;
      }
      busy_[unit.lane] = unit.finish;
      for_each_input(u, [&](UnitId in, NodeId) { units_[in].cached_by.set(unit.lane); });
    }
    unit.cached_by.reset().set(unit.lane);
    in_order_.push_back(u);
  }

  std::uint32_t lanes() const { return static_cast<std::uint32_t>(lanes_); }

  // ---- Sections ----

  /// Neighbours in the order of their begin, of about equal work.
  struct Window {
    std::size_t end;                     // of `in_order_`
    double start, finish, shared, cost;  // the last two: the sums of its units
  };

  void find_windows() {
    constexpr double most_windows = 128;
    std::sort(in_order_.begin(), in_order_.end(),
              [&](UnitId a, UnitId b) { return std::pair(units_[a].start, a) < std::pair(units_[b].start, b); });
    double work = 0;
    for (const Unit& u : units_) work += u.cost;
    for (std::size_t k = 0; k < in_order_.size(); ++k) {
      const Unit& u = units_[in_order_[k]];
      if (windows_.empty() || windows_.back().cost >= work / most_windows)
        windows_.push_back({0, u.start, u.finish, 0, 0});
      Window& w = windows_.back();
      w.end = k + 1;
      w.finish = std::max(w.finish, u.finish);
      w.shared += shared_cost(u.cost, threads_, costs_);
      w.cost += u.cost;
    }
  }

  /// Windows up to the section's end.
  struct Section {
    std::size_t begin = 0, end = 0;  // windows
    bool in_lanes = false;
    double time = 0, other = 0;  // in the way chosen, and one kernel at a time
  };

  // The best way up to each window, over all sections that may end there.
  void choose_sections() {
    const double meeting = from_ / 3;  // threads begin and end together
    std::vector<double> best(windows_.size() + 1, 1e300);
    std::vector<Section> last(windows_.size() + 1);
    best[0] = 0;
    for (std::size_t begin = 0; begin < windows_.size(); ++begin) {
      double finish = 0, shared = 0;
      for (std::size_t end = begin + 1; end <= windows_.size(); ++end) {
        finish = std::max(finish, windows_[end - 1].finish);
        shared += windows_[end - 1].shared;
        const double side_by_side = finish - windows_[begin].start + meeting;
        const bool in_lanes = side_by_side < 0.95 * shared && shared >= from_;
        const double time = in_lanes ? side_by_side : shared;
        if (best[begin] + time >= best[end]) continue;
        best[end] = best[begin] + time;
        last[end] = {begin, end, in_lanes, time, shared};
      }
    }
    for (std::size_t end = windows_.size(); end > 0; end = last[end].begin) sections_.push_back(last[end]);
    std::reverse(sections_.begin(), sections_.end());
  }

  std::size_t first_of(const Section& s) const { return s.begin == 0 ? 0 : windows_[s.begin - 1].end; }

  bool explain() const {
    double work = 0, alone = 0;
    int in_lanes = 0;
    for (const Section& s : sections_) {
      alone += s.other;
      in_lanes += s.in_lanes ? 1 : 0;
      if (!s.in_lanes) continue;
      std::array<double, most_lanes> load{};
      for (std::size_t k = first_of(s); k < windows_[s.end - 1].end; ++k)
        load[units_[in_order_[k]].lane] += units_[in_order_[k]].cost;
      std::string loads;
      for (std::uint32_t lane = 0; lane < lanes(); ++lane)
        loads += fmt::format("{}{:.0f}", lane == 0 ? "" : " and ", load[lane]);
      notes_.schedule.push_back(
          fmt::format("side by side: kernels of {} us, about {:.0f} us; one at a time, shared among threads: {:.0f} us",
                      loads, s.time, s.other));
      work += s.other;
    }
    if (in_lanes == 0)
      notes_.schedule.push_back(
          fmt::format("one kernel at a time, shared among threads, about {:.0f} us: on lanes of their own {:.0f} us",
                      alone, *std::max_element(busy_.begin(), busy_.end())));
    else if (alone > work)
      notes_.schedule.push_back(fmt::format("the rest one kernel at a time, about {:.0f} us", alone - work));
    return in_lanes > 0;
  }

  // What is there anyway goes first.
  Graph reordered() const {
    Rewriter rewriter(g_);
    const auto write = [&](UnitId u, Lane lane) {
      for (NodeId i = units_[u].begin; i < units_[u].end; ++i) rewriter.to.nodes[rewriter.copy(i)].lane = lane;
    };
    for (UnitId u = 0; u < units_.size(); ++u)
      if (units_[u].source) write(u, Lane());
    std::uint32_t section = 0;
    for (const Section& s : sections_) {
      section += s.in_lanes ? 1 : 0;
      for (std::size_t k = first_of(s); k < windows_[s.end - 1].end; ++k)
        write(in_order_[k], s.in_lanes ? Lane{section, units_[in_order_[k]].lane + 1} : Lane());
    }
    return rewriter.done_in_order();
  }

  const Graph& g_;
  int lanes_, threads_;
  double from_;
  const Costs& costs_;
  Notes& notes_;
  std::vector<UnitId> unit_of_, in_order_;
  std::vector<Unit> units_;
  std::array<double, most_lanes> busy_{};  // by lane, until
  std::vector<Window> windows_;
  std::vector<Section> sections_;
};

}  // namespace

Graph schedule(const Graph& g, int threads, const Choices& choices, Notes& notes) {
  return Scheduler(g, threads, choices, notes).run();
}

}  // namespace rw::ir
