#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include <rewind/core/error.h>
#include <rewind/tools/graph/fold.h>

namespace rw {
namespace {

/// Where a node stands in the loops: class `c` at step `t`.
struct LoopStep {
  std::uint32_t loop = no_node;
  Index c = 0, t = 0;
};

// ---- What a class of nodes, and its scopes, are drawn as

using Names = std::vector<std::string>;

Names words(const std::string& text) {
  Names out(1);
  for (char c : text) {
    if (c == ' ') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

std::string merged_attributes(const GraphView& view, const GraphLoop& loop, Index c) {
  const std::string& first = view.nodes[loop.node(c, 0)].attributes;
  const std::string& last = view.nodes[loop.node(c, loop.steps - 1)].attributes;
  bool same = true;
  for (Index t = 1; t < loop.steps; ++t) same = same && view.nodes[loop.node(c, t)].attributes == first;
  if (same) return first;
  const Names a = words(first), b = words(last);
  if (a.size() != b.size() || first == last) return "varies";
  std::string out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::size_t key = a[i].find('=') + 1;  // 0 when there is none
    const bool range = b[i].compare(0, key, a[i], 0, key) == 0;
    out += (i == 0 ? "" : " ") + (a[i] == b[i] ? a[i] : range ? a[i] + ".." + b[i].substr(key) : "varies");
  }
  return out;
}

void merge(GraphStatistics& into, const GraphStatistics& s, Index before) {
  if (!s.known) return;
  if (!into.known) {
    into = s;
    return;
  }
  const auto n = static_cast<double>(before);
  into.norm = std::max(into.norm, s.norm);
  into.mean = (into.mean * n + s.mean) / (n + 1);
  into.min = std::min(into.min, s.min);
  into.max = std::max(into.max, s.max);
  into.nans += s.nans;
  into.infs += s.infs;
}

Names names_of(const GraphView& view, std::uint32_t scope) {
  Names out;
  for (; scope != 0; scope = view.scopes[scope].parent) out.push_back(view.scopes[scope].name);
  std::reverse(out.begin(), out.end());
  return out;
}

/// The scopes of one class, without the numbers that differ from step to step.
struct ClassPath {
  Names names;
  std::size_t differs = max;  // the first that does
  static constexpr std::size_t max = ~std::size_t{0};
};

ClassPath class_path(const GraphView& view, const GraphLoop& loop, Index c) {
  ClassPath path{.names = names_of(view, view.nodes[loop.node(c, 0)].scope)};
  const Names second = names_of(view, view.nodes[loop.node(c, 1)].scope);
  for (std::size_t i = 0; i < std::min(path.names.size(), second.size()); ++i) {
    if (path.names[i] == second[i]) continue;
    path.names[i].resize(std::min(path.names[i].rfind('='), path.names[i].size()));
    path.differs = std::min(path.differs, i);
  }
  return path;
}

std::size_t common_length(const Names& a, const Names& b) {
  std::size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

class ScopeFolder {
 public:
  ScopeFolder(const GraphView& view, GraphView& out) : view_(view), out_(out) { out.scopes.assign(1, view.scopes[0]); }

  std::uint32_t plain(std::uint32_t scope) {
    std::uint32_t s = 0;
    for (const std::string& name : names_of(view_, scope)) s = find(s, name, no_node, 1);
    return s;
  }

  void fold(const GraphLoop& loop, std::uint32_t number, std::vector<std::uint32_t>& scopes) {
    std::vector<ClassPath> paths;
    for (Index c = 0; c < loop.period; ++c) paths.push_back(class_path(view_, loop, c));
    std::size_t common = paths[0].names.size(), box = ClassPath::max;
    for (const ClassPath& p : paths) {
      common = std::min(common, common_length(p.names, paths[0].names));
      box = std::min(box, p.differs);
    }
    const bool has_box = box < common;
    if (!has_box) box = common;
    for (Index c = 0; c < loop.classes(); ++c) {
      Names names = paths[static_cast<std::size_t>(c < loop.period ? c : 0)].names;
      if (!has_box) names.insert(names.begin() + static_cast<std::ptrdiff_t>(box), "");
      std::uint32_t s = 0;
      for (std::size_t i = 0; i < names.size(); ++i)
        s = find(s, names[i], i < box ? no_node : number, i == box ? loop.steps : 1);
      scopes[loop.node(c, 0)] = s;
    }
  }

 private:
  std::uint32_t find(std::uint32_t parent, const std::string& name, std::uint32_t loop, Index times) {
    const auto [entry, fresh] =
        known_.emplace(std::tuple(parent, name, loop), static_cast<std::uint32_t>(out_.scopes.size()));
    if (fresh) out_.scopes.push_back({.name = name, .parent = parent, .times = times});
    return entry->second;
  }

  const GraphView& view_;
  GraphView& out_;
  std::map<std::tuple<std::uint32_t, std::string, std::uint32_t>, std::uint32_t> known_;
};

/// By node of `view`.
std::vector<LoopStep> loop_steps(const GraphView& view, const std::vector<GraphLoop>& loops) {
  std::vector<LoopStep> out(view.nodes.size());
  for (std::uint32_t l = 0; l < loops.size(); ++l)
    for (Index c = 0; c < loops[l].classes(); ++c)
      for (Index t = 0; t < loops[l].steps; ++t) out[loops[l].node(c, t)] = {l, c, t};
  return out;
}

/// One node that stands for class `c` at all steps: attributes that vary as "start=0..499", bytes added, the largest
/// norm.
GraphNode merged_node(const GraphView& view, const GraphLoop& loop, Index c) {
  GraphNode node = view.nodes[loop.node(c, 0)];
  node.attributes = merged_attributes(view, loop, c);
  node.bytes = 0;
  node.value = node.gradient = {};
  for (Index t = 0; t < loop.steps; ++t) {
    const GraphNode& step = view.nodes[loop.node(c, t)];
    node.bytes += step.bytes;
    merge(node.value, step.value, t);
    merge(node.gradient, step.gradient, t);
    if (step.value.known) node.value_norms.push_back(step.value.norm);
    if (step.role == GraphRole::loss) node.role = GraphRole::loss;
  }
  return node;
}

/// Makes the boxes of the folded view in `out`: one "x T" a loop, where the scopes of its steps begin to differ ("t=3"
/// becomes "t"), or else around all of it. Returns the scopes of nodes outside of loops and of the first step's.
std::vector<std::uint32_t> fold_scopes(const GraphView& view, const std::vector<GraphLoop>& loops,
                                       const std::vector<LoopStep>& step_of, GraphView& out) {
  ScopeFolder folder(view, out);
  std::vector<std::uint32_t> scopes(view.nodes.size());
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i) {
    if (step_of[i].loop == no_node) {
      scopes[i] = folder.plain(view.nodes[i].scope);
    } else if (step_of[i].c == 0 && step_of[i].t == 0) {
      folder.fold(loops[step_of[i].loop], step_of[i].loop, scopes);
    }
  }
  return scopes;
}

// ---- Views drawn with what they look at

/// By node: how many arrows leave it.
std::vector<std::uint32_t> count_uses(const GraphView& view) {
  std::vector<std::uint32_t> uses(view.nodes.size());
  for (const GraphNode& n : view.nodes)
    for (const GraphEdge& e : n.in) ++uses[e.from];
  return uses;
}

bool only_reshapes(const GraphView& view, const GraphNode& n, const std::vector<std::uint32_t>& uses) {
  if (!n.view || n.in.size() != 1 || n.in[0].delay != 0 || !n.in[0].label.empty()) return false;
  const GraphNode& from = view.nodes[n.in[0].from];
  return from.role == GraphRole::op && n.role == GraphRole::op && from.shape.size() == n.shape.size() &&
         from.scope == n.scope && from.backward == n.backward && uses[n.in[0].from] == 1;
}

/// Adds what `n` says to the node it is drawn with.
void absorb(GraphNode& into, const GraphNode& n) {
  into.op += ", " + n.op;
  into.shape = n.shape;
  into.bytes += n.bytes;
  into.needs_grad = n.needs_grad;
}

/// Draws what only gives another shape to what nothing else uses together with that ("slice, reshape"), and equal
/// numbers of one box once.
GraphView merge_views(const GraphView& view) {
  const std::vector<std::uint32_t> uses = count_uses(view);
  using Number = std::tuple<std::uint32_t, std::uint64_t, std::string, std::string, bool>;
  std::map<Number, std::uint32_t> numbers;
  GraphView out{.nodes = {}, .scopes = view.scopes, .folded = view.folded};
  std::vector<std::uint32_t> at(view.nodes.size());
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    const GraphNode& n = view.nodes[i];
    at[i] = static_cast<std::uint32_t>(out.nodes.size());
    if (only_reshapes(view, n, uses)) {
      at[i] = at[n.in[0].from];
      absorb(out.nodes[at[i]], n);
      continue;
    }
    if (n.role == GraphRole::constant && !n.attributes.empty()) {
      const auto [known, fresh] =
          numbers.emplace(Number(n.scope, n.kind, n.attributes, n.shape.str(), n.backward), at[i]);
      at[i] = known->second;
      if (!fresh) continue;
    }
    out.nodes.push_back(n);
  }
  for (GraphNode& n : out.nodes)
    for (GraphEdge& e : n.in) e.from = at[e.from];
  return out;
}

// ---- The drawings

/// The arrows of a folded view before they are drawn: all that stand for one input of one reader, from one source.
struct Uses {
  std::uint32_t from = no_node, to = no_node, slot = 0;
  std::vector<std::pair<Index, Index>> steps;  // of the source and of the reader
};

std::string steps_text(Index first, Index last) {
  return first == last ? "t=" + std::to_string(first) : "t=" + std::to_string(first) + ".." + std::to_string(last);
}

/// Makes the folded view.
class Folder {
 public:
  Folder(const GraphView& view, const std::vector<GraphLoop>& loops)
      : view_(view), loops_(loops), step_of_(loop_steps(view, loops)), at_(view.nodes.size(), no_node) {}

  GraphView run() {
    const std::vector<std::uint32_t> scopes = fold_scopes(view_, loops_, step_of_, out_);
    for (std::uint32_t i = 0; i < view_.nodes.size(); ++i) {
      if (step_of_[i].loop != no_node && step_of_[i].t > 0) continue;
      if (step_of_[i].loop == no_node) {
        at_[i] = static_cast<std::uint32_t>(out_.nodes.size());
        out_.nodes.push_back(view_.nodes[i]);
      } else {
        add_class(loops_[step_of_[i].loop], step_of_[i].c);
      }
      out_.nodes.back().in.clear();
      out_.nodes.back().scope = scopes[i];
      loop_.push_back(step_of_[i].loop);
    }
    for (const Uses& uses : gather()) draw(uses);
    out_.folded = true;
    return std::move(out_);
  }

 private:
  void add_class(const GraphLoop& loop, Index c) {
    for (Index t = 0; t < loop.steps; ++t) at_[loop.node(c, t)] = static_cast<std::uint32_t>(out_.nodes.size());
    out_.nodes.push_back(merged_node(view_, loop, c));
  }

  std::vector<Uses> gather() const {
    std::vector<Uses> out;
    std::vector<std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t>> known(  // by slot and source
        out_.nodes.size());
    for (std::uint32_t i = 0; i < view_.nodes.size(); ++i) {
      const std::vector<GraphEdge>& in = view_.nodes[i].in;
      for (std::uint32_t k = 0; k < in.size(); ++k) {
        const std::uint32_t from = at_[in[k].from];
        // A node that is no loop's may gather many steps: one arrow.
        const std::uint32_t slot = step_of_[i].loop == no_node && loop_[from] != no_node ? 0 : k;
        const auto [entry, is_new] = known[at_[i]].emplace(std::pair(slot, from), out.size());
        if (is_new) out.push_back({.from = from, .to = at_[i], .slot = k, .steps = {}});
        out[entry->second].steps.emplace_back(step_of_[in[k].from].t, step_of_[i].t);
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
    if (from_loop != no_node && to_loop != no_node) return draw_between_steps(uses);
    if (from_loop != no_node) {
      const auto [low, high] = std::minmax_element(uses.steps.begin(), uses.steps.end());
      label = steps_text(low->first, high->first);
    } else if (to_loop != no_node && static_cast<Index>(uses.steps.size()) < loops_[to_loop].steps) {
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
  std::vector<LoopStep> step_of_;
  std::vector<std::uint32_t> at_;    // of a node: its position in out_
  std::vector<std::uint32_t> loop_;  // of a node of out_
  GraphView out_;
};

/// Leaves out the steps in the middle.
class Window {
 public:
  Window(const GraphView& view, const std::vector<GraphLoop>& loops, Index steps)
      : view_(view), loops_(loops), step_of_(loop_steps(view, loops)), steps_(steps), more_(loops.size(), no_node) {}

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
    const LoopStep& p = step_of_[i];
    return p.loop != no_node && p.t >= steps_ && p.t < loops_[p.loop].steps - 1 && loops_[p.loop].steps > steps_ + 2;
  }
  static void add_edge(GraphNode& to, std::uint32_t from, bool once) {
    const auto same = [&](const GraphEdge& e) { return e.from == from; };
    if (!once || std::none_of(to.in.begin(), to.in.end(), same))
      to.in.push_back({.from = from, .delay = 0, .label = {}});
  }
  void add_left_out(std::uint32_t i) {
    std::uint32_t& more = more_[step_of_[i].loop];
    if (more == no_node) {
      more = static_cast<std::uint32_t>(out_.nodes.size());
      GraphNode node;
      const GraphNode& like = view_.nodes[i];
      node.id = like.id + "_more";
      node.op = "...";
      node.attributes = std::to_string(loops_[step_of_[i].loop].steps - steps_ - 1) + " steps";
      node.backward = like.backward;
      node.scope = like.scope == 0 ? 0 : view_.scopes[like.scope].parent;
      out_.nodes.push_back(std::move(node));
    }
    at_[i] = more;
    for (const GraphEdge& e : view_.nodes[i].in)
      if (at_[e.from] != more && step_of_[e.from].loop != no_node) add_edge(out_.nodes[more], at_[e.from], true);
  }

  const GraphView& view_;
  const std::vector<GraphLoop>& loops_;
  std::vector<LoopStep> step_of_;
  Index steps_;
  std::vector<std::uint32_t> more_, at_;
  GraphView out_;
};

}  // namespace

GraphView fold_time(const GraphView& view) {
  const std::vector<GraphLoop> loops = find_loops(view);
  return loops.empty() ? view : merge_views(Folder(view, loops).run());
}

GraphView window_time(const GraphView& view, int steps) {
  if (steps < 1) throw Error("window: " + std::to_string(steps) + " steps cannot be drawn, ask for at least 1");
  const std::vector<GraphLoop> loops = find_loops(view);
  return loops.empty() ? view : Window(view, loops, steps).run();
}

}  // namespace rw
