#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include <rewind/core/error.h>
#include <rewind/tools/graph/fold.h>
#include <rewind/tools/graph/fold_parts.h>

namespace rw {
namespace {

using detail::Place;
constexpr std::uint32_t none = no_node;

/// The arrows of a folded view before they are drawn: all that stand for one input of one reader, from one source.
struct Uses {
  std::uint32_t from = none, to = none, slot = 0;
  std::vector<std::pair<Index, Index>> steps;  // of the source and of the reader
};

std::string steps_text(Index first, Index last) {
  return first == last ? "t=" + std::to_string(first) : "t=" + std::to_string(first) + ".." + std::to_string(last);
}

/// Makes the folded view.
class Folder {
 public:
  Folder(const GraphView& view, const std::vector<GraphLoop>& loops)
      : view_(view), loops_(loops), place_(detail::places(view, loops)), at_(view.nodes.size(), none) {}

  GraphView run() {
    const std::vector<std::uint32_t> scopes = detail::fold_scopes(view_, loops_, place_, out_);
    for (std::uint32_t i = 0; i < view_.nodes.size(); ++i) {
      if (place_[i].loop != none && place_[i].t > 0) continue;
      if (place_[i].loop == none) {
        at_[i] = static_cast<std::uint32_t>(out_.nodes.size());
        out_.nodes.push_back(view_.nodes[i]);
      } else {
        add_class(loops_[place_[i].loop], place_[i].c);
      }
      out_.nodes.back().in.clear();
      out_.nodes.back().scope = scopes[i];
      loop_.push_back(place_[i].loop);
    }
    for (const Uses& uses : gather()) draw(uses);
    out_.folded = true;
    return std::move(out_);
  }

 private:
  void add_class(const GraphLoop& loop, Index c) {
    for (Index t = 0; t < loop.steps; ++t) at_[loop.node(c, t)] = static_cast<std::uint32_t>(out_.nodes.size());
    out_.nodes.push_back(detail::merged_node(view_, loop, c));
  }

  std::vector<Uses> gather() const {
    std::vector<Uses> out;
    std::vector<std::unordered_map<std::uint64_t, std::size_t>> known(out_.nodes.size());
    for (std::uint32_t i = 0; i < view_.nodes.size(); ++i) {
      const std::vector<GraphEdge>& in = view_.nodes[i].in;
      for (std::uint32_t k = 0; k < in.size(); ++k) {
        const std::uint32_t from = at_[in[k].from];
        // A node that is no loop's may gather many steps: one arrow.
        const std::uint32_t slot = place_[i].loop == none && loop_[from] != none ? 0 : k;
        const auto [entry, fresh] = known[at_[i]].emplace(std::uint64_t{slot} << 32 | from, out.size());
        if (fresh) out.push_back({.from = from, .to = at_[i], .slot = k, .steps = {}});
        out[entry->second].steps.emplace_back(place_[in[k].from].t, place_[i].t);
      }
    }
    std::stable_sort(out.begin(), out.end(), [](const Uses& a, const Uses& b) { return a.slot < b.slot; });
    return out;
  }

  /// Says which steps an arrow stands for, unless every step uses its own.
  void draw(const Uses& uses) {
    std::vector<GraphEdge>& in = out_.nodes[uses.to].in;
    const std::uint32_t from_loop = loop_[uses.from], to_loop = loop_[uses.to];
    std::string label;
    if (from_loop != none && to_loop != none) return draw_between_steps(uses);
    if (from_loop != none) {
      const auto [low, high] = std::minmax_element(uses.steps.begin(), uses.steps.end());
      label = steps_text(low->first, high->first);
    } else if (to_loop != none && static_cast<Index>(uses.steps.size()) < loops_[to_loop].steps) {
      label = steps_text(uses.steps.front().second, uses.steps.back().second);
    }
    in.push_back({.from = uses.from, .delay = 0, .label = std::move(label)});
  }

  void draw_between_steps(const Uses& uses) {
    std::vector<GraphEdge>& in = out_.nodes[uses.to].in;
    const bool same_loop = loop_[uses.from] == loop_[uses.to];
    std::map<Index, Index> distances, sums;  // how many steps have which
    for (const auto& [from, to] : uses.steps) {
      ++distances[to - from];
      ++sums[to + from];
    }
    if (distances.size() > 3 && !same_loop) {
      in.push_back({.from = uses.from, .delay = 0, .label = sums.size() == 1 ? "reversed" : "several t"});
      return;
    }
    for (const auto& [distance_, count] : distances) {
      const Index distance = distance_;
      GraphEdge edge{.from = uses.from, .delay = 0, .label = {}};
      if (same_loop) {
        edge.delay = static_cast<int>(distance);
      } else if (count == 1) {  // of one step alone
        const auto one = std::find_if(uses.steps.begin(), uses.steps.end(),
                                      [&](const auto& s) { return s.second - s.first == distance; });
        edge.label = steps_text(one->first, one->first);
      } else if (distance != 0) {
        edge.label = (distance > 0 ? "t-" : "t+") + std::to_string(std::abs(distance));
      }
      in.push_back(std::move(edge));
    }
  }

  const GraphView& view_;
  const std::vector<GraphLoop>& loops_;
  std::vector<Place> place_;
  std::vector<std::uint32_t> at_;    // of a node: its position in out_
  std::vector<std::uint32_t> loop_;  // of a node of out_
  GraphView out_;
};

/// Leaves out the steps in the middle.
class Window {
 public:
  Window(const GraphView& view, const std::vector<GraphLoop>& loops, Index steps)
      : view_(view), loops_(loops), place_(detail::places(view, loops)), steps_(steps), more_(loops.size(), none) {}

  GraphView run() {
    out_.scopes = view_.scopes;
    at_.resize(view_.nodes.size());
    for (std::uint32_t i = 0; i < view_.nodes.size(); ++i) {
      if (left_out(i)) {
        add_left_out(i);
        continue;
      }
      at_[i] = static_cast<std::uint32_t>(out_.nodes.size());
      GraphNode node = view_.nodes[i];
      node.in.clear();
      for (const GraphEdge& e : view_.nodes[i].in) add_edge(node, at_[e.from], left_out(e.from));
      out_.nodes.push_back(std::move(node));
    }
    return std::move(out_);
  }

 private:
  bool left_out(std::uint32_t i) const {
    const Place& p = place_[i];
    return p.loop != none && p.t >= steps_ && p.t < loops_[p.loop].steps - 1 && loops_[p.loop].steps > steps_ + 2;
  }
  static void add_edge(GraphNode& to, std::uint32_t from, bool once) {
    const auto same = [&](const GraphEdge& e) { return e.from == from; };
    if (!once || std::none_of(to.in.begin(), to.in.end(), same))
      to.in.push_back({.from = from, .delay = 0, .label = {}});
  }
  void add_left_out(std::uint32_t i) {
    std::uint32_t& more = more_[place_[i].loop];
    if (more == none) {
      more = static_cast<std::uint32_t>(out_.nodes.size());
      GraphNode node;
      const GraphNode& like = view_.nodes[i];
      node.id = like.id + "_more";
      node.op = "...";
      node.attributes = std::to_string(loops_[place_[i].loop].steps - steps_ - 1) + " steps";
      node.backward = like.backward;
      node.scope = like.scope == 0 ? 0 : view_.scopes[like.scope].parent;
      out_.nodes.push_back(std::move(node));
    }
    at_[i] = more;
    for (const GraphEdge& e : view_.nodes[i].in)
      if (at_[e.from] != more && place_[e.from].loop != none) add_edge(out_.nodes[more], at_[e.from], true);
  }

  const GraphView& view_;
  const std::vector<GraphLoop>& loops_;
  std::vector<Place> place_;
  Index steps_;
  std::vector<std::uint32_t> more_, at_;
  GraphView out_;
};

}  // namespace

GraphView fold_time(const GraphView& view) {
  const std::vector<GraphLoop> loops = find_loops(view);
  return loops.empty() ? view : detail::merge_views(Folder(view, loops).run());
}

GraphView window_time(const GraphView& view, int steps) {
  if (steps < 1) throw Error("window: " + std::to_string(steps) + " steps cannot be drawn, ask for at least 1");
  const std::vector<GraphLoop> loops = find_loops(view);
  return loops.empty() ? view : Window(view, loops, steps).run();
}

}  // namespace rw
