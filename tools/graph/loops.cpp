#include <algorithm>
#include <compare>
#include <map>

#include <rewind/autograd/attributes.h>
#include <rewind/autograd/program/repeats.h>
#include <rewind/tools/graph/loops.h>

namespace rw {

namespace {

using ir::Repeat;

bool is_op(const GraphNode& n) { return n.role == GraphRole::op || n.role == GraphRole::loss; }

/// Equal for nodes that could be the same place of a loop at different steps.
std::uint64_t label_of(const GraphNode& n) {
  std::uint64_t h = detail::mix(n.kind, (n.backward ? 2u : 0u) + (is_op(n) ? 1u : 0u));
  h = detail::mix(h, static_cast<std::uint64_t>(n.dtype) * 64 + n.in.size());
  h = detail::mix(h, static_cast<std::uint64_t>(n.shape.rank()));
  for (Index d : n.shape) h = detail::mix(h, static_cast<std::uint64_t>(d));
  return h;
}

/// The ops of a view as they were recorded.
std::vector<std::uint32_t> recorded_order(const GraphView& view) {
  std::vector<std::uint32_t> ops;
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i)
    if (is_op(view.nodes[i])) ops.push_back(i);
  return ops;
}

/// Each op after all that it needs, which comes as late as it can: what belongs to a step stands together, however a
/// compiler has put the steps' parts in order.
std::vector<std::uint32_t> order_by_need(const GraphView& view) {
  std::vector<bool> used(view.nodes.size()), seen(view.nodes.size());
  for (const GraphNode& n : view.nodes)
    for (const GraphEdge& e : n.in) used[e.from] = true;
  std::vector<std::uint32_t> ops;
  struct Visit {
    std::uint32_t node;
    std::size_t next;  // of its inputs
  };
  std::vector<Visit> path;
  const auto visit = [&](std::uint32_t node) {
    if (!seen[node]) path.push_back({node, 0});
    seen[node] = true;
  };
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i) {
    if (!used[i]) visit(i);
    while (!path.empty()) {
      const GraphNode& n = view.nodes[path.back().node];
      if (path.back().next < n.in.size()) {
        visit(n.in[path.back().next++].from);
      } else {
        if (is_op(n)) ops.push_back(path.back().node);
        path.pop_back();
      }
    }
  }
  return ops;
}

/// Searches the ops of a view, in an order, for loops.
class LoopFinder {
 public:
  LoopFinder(const GraphView& view, std::vector<std::uint32_t> ops);
  std::vector<GraphLoop> run();

 private:
  struct Found {
    std::uint32_t begin = 0, period = 0, steps = 0;
    bool carries = false, accepted = false;
  };
  // Where an op stands in a loop that was found.
  struct LoopStep {
    std::uint32_t loop = no_node, position = 0, step = 0;
  };

  const std::vector<GraphEdge>& in(std::uint32_t at) const { return view_.nodes[ops_[at]].in; }
  std::uint32_t restart(std::uint32_t at, std::uint32_t begin, std::uint32_t period) const;
  void search(const Repeat& r);
  void take(std::uint32_t begin, std::uint32_t end, std::uint32_t period);
  std::uint32_t best_phase(std::uint32_t begin, std::uint32_t period, std::uint32_t slack) const;
  std::uint32_t carried(std::uint32_t begin, std::uint32_t period, std::uint32_t phase) const;
  bool keeps_step_with_accepted(std::uint32_t loop) const;
  void accept_followers();
  GraphLoop loop_of(const Found& f) const;

  const GraphView& view_;
  std::vector<std::uint32_t> ops_;
  std::vector<std::uint32_t> at_;     // of a node: its position in ops_, or no_node
  std::vector<std::uint64_t> label_;  // by node
  std::vector<Found> found_;
  std::vector<LoopStep> step_of_;  // by position in ops_
  std::vector<std::vector<std::uint32_t>> users_;
  std::int64_t budget_;  // of comparisons: a graph that is made to waste them stays as it is
};

LoopFinder::LoopFinder(const GraphView& view, std::vector<std::uint32_t> ops)
    : view_(view), ops_(std::move(ops)), at_(view.nodes.size(), no_node), users_(view.nodes.size()) {
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i) {
    label_.push_back(label_of(view.nodes[i]));
    for (const GraphEdge& e : view.nodes[i].in) users_[e.from].push_back(i);
  }
  for (std::uint32_t at = 0; at < ops_.size(); ++at) at_[ops_[at]] = at;
  step_of_.resize(ops_.size());
  budget_ = 1'000'000 + 200 * static_cast<std::int64_t>(ops_.size());
}

/// Compares the inputs of the ops at `at` and one period later. Returns `begin` when they fit a loop that starts there,
/// else the earliest place where one could start.
std::uint32_t LoopFinder::restart(std::uint32_t at, std::uint32_t begin, std::uint32_t period) const {
  if (step_of_[at].loop != no_node || step_of_[at + period].loop != no_node) return at + 1;
  const std::vector<GraphEdge>&now = in(at), &next = in(at + period);
  for (std::size_t k = 0; k < now.size(); ++k) {
    const std::uint32_t a = now[k].from, b = next[k].from, pa = at_[a], pb = at_[b];
    if (a == b) {
      if (pa != no_node && pa >= begin) return pa + 1;  // of one step only, used by the others
      continue;
    }
    if (label_[a] != label_[b]) {
      // The first step may take its state from anywhere.
      if (pb == no_node || pb < begin || pb - begin >= period || (pa != no_node && pa >= begin)) return at + 1;
      continue;
    }
    if (view_.nodes[a].role == GraphRole::parameter) return at + 1;  // other weights: another layer, not another step
    if (pa == no_node && pb == no_node) continue;
    if (pa == no_node || pb == no_node) return at + 1;
    if (pa >= begin) {
      if (pb != pa + period) return at + 1;
    } else if (pb >= begin && pb - begin >= period) {
      return at + 1;  // a state that comes from nowhere
    }
  }
  return begin;
}

/// How many values pass from step to step when steps are cut at `phase`.
std::uint32_t LoopFinder::carried(std::uint32_t begin, std::uint32_t period, std::uint32_t phase) const {
  std::vector<std::uint32_t> sources;
  const std::uint32_t zero = begin + phase;
  for (std::uint32_t at = zero + period; at < zero + 2 * period && at < ops_.size(); ++at)
    for (const GraphEdge& e : in(at)) {
      const std::uint32_t from = at_[e.from];
      if (from != no_node && from >= begin && (from < zero || (from - zero) / period != (at - zero) / period))
        sources.push_back((from - begin) % period);
    }
  std::sort(sources.begin(), sources.end());
  return static_cast<std::uint32_t>(std::unique(sources.begin(), sources.end()) - sources.begin());
}

/// Where to cut: what carries least is how a person would write the loop. A stray op before a loop can look like the
/// end of a step more often than one behind it looks like the begin, so the later place wins.
std::uint32_t LoopFinder::best_phase(std::uint32_t begin, std::uint32_t period, std::uint32_t slack) const {
  std::uint32_t best = 0, least = no_node;
  for (std::uint32_t phase = 0; phase <= slack; ++phase) {
    const std::uint32_t n = carried(begin, period, phase);
    if (n > least) continue;
    least = n;
    best = phase;
  }
  return best;
}

void LoopFinder::take(std::uint32_t begin, std::uint32_t end, std::uint32_t period) {
  const std::uint32_t length = end - begin, steps = length / period;
  if (steps < 2 || (steps == 2 && period < 4)) return;
  Found f{.begin = begin + best_phase(begin, period, length % period), .period = period, .steps = steps};
  f.carries = carried(f.begin, period, 0) > 0;
  f.accepted = f.carries;
  for (std::uint32_t i = 0; i < steps * period; ++i)
    step_of_[f.begin + i] = {static_cast<std::uint32_t>(found_.size()), i % period, i / period};
  found_.push_back(f);
}

/// Splits a repetition of labels into the loops whose edges repeat as well.
void LoopFinder::search(const Repeat& r) {
  std::uint32_t begin = r.begin, at = r.begin;
  while (at + r.period < r.end && budget_-- > 0) {
    const std::uint32_t next = restart(at, begin, r.period);
    if (next == begin) {
      ++at;
    } else {
      take(begin, at + r.period, r.period);
      begin = at = next;
    }
  }
  if (budget_ > 0 && begin < at) take(begin, r.end, r.period);
}

/// Whether most of its steps use, or are used by, the like step (or the like one from the end) of an accepted loop.
bool LoopFinder::keeps_step_with_accepted(std::uint32_t loop) const {
  const Found& f = found_[loop];
  struct Steps {
    std::uint32_t last = no_node, count = 0;
  };
  struct Match {
    std::uint32_t loop;  // the other one
    bool backwards;
    std::uint32_t distance;
    auto operator<=>(const Match&) const = default;
  };
  std::map<Match, Steps> same;  // steps that agree
  const auto look = [&](std::uint32_t step, std::uint32_t node) {
    const std::uint32_t at = at_[node];
    if (at == no_node || step_of_[at].loop == no_node || !found_[step_of_[at].loop].accepted) return;
    for (const bool backwards : {false, true}) {
      const std::uint32_t distance = backwards ? step_of_[at].step + step : step_of_[at].step - step;
      Steps& s = same[{step_of_[at].loop, backwards, distance}];
      if (s.last != step) ++s.count;
      s.last = step;
    }
  };
  for (std::uint32_t i = 0; i < f.steps * f.period; ++i) {
    const std::uint32_t node = ops_[f.begin + i];
    for (const GraphEdge& e : view_.nodes[node].in) look(i / f.period, e.from);
    for (std::uint32_t user : users_[node]) look(i / f.period, user);
  }
  return std::any_of(same.begin(), same.end(), [&](const auto& s) { return s.second.count * 2 > f.steps; });
}

void LoopFinder::accept_followers() {
  for (bool more = true; more;) {
    more = false;
    for (std::uint32_t i = 0; i < found_.size(); ++i)
      if (!found_[i].accepted && keeps_step_with_accepted(i)) found_[i].accepted = more = true;
  }
}

GraphLoop LoopFinder::loop_of(const Found& f) const {
  GraphLoop loop{.steps = f.steps, .nodes = {}, .period = f.period, .carries = f.carries};
  for (std::uint32_t c = 0; c < f.period; ++c)
    for (std::uint32_t t = 0; t < f.steps; ++t) loop.nodes.push_back(ops_[f.begin + t * f.period + c]);
  return loop;
}

std::vector<GraphLoop> LoopFinder::run() {
  // Two layers that take turns differ in their parameters alone.
  std::vector<std::uint64_t> labels, with_parameters;
  for (std::uint32_t node : ops_) {
    labels.push_back(label_[node]);
    with_parameters.push_back(label_[node]);
    for (const GraphEdge& e : view_.nodes[node].in)
      if (view_.nodes[e.from].role == GraphRole::parameter)
        with_parameters.back() = detail::mix(with_parameters.back(), e.from);
  }
  std::vector<Repeat> candidates = ir::label_repeats(labels, 2);
  for (const Repeat& r : ir::label_repeats(with_parameters, 2)) candidates.push_back(r);
  // What a loop saves; many short steps rather than few long ones.
  const auto worth = [](const Repeat& r) {
    const double saved = r.end - r.begin - r.period;
    return saved * saved / (r.end - r.begin);
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Repeat& a, const Repeat& b) { return worth(a) > worth(b); });
  for (const Repeat& r : candidates) search(r);
  accept_followers();
  std::vector<GraphLoop> loops;
  for (const Found& f : found_)
    if (f.accepted) loops.push_back(loop_of(f));
  return loops;
}

/// Adds leaves that each step has of its own, as x_t, to the loop that uses them first.
void add_leaves(const GraphView& view, GraphLoop& loop, std::vector<bool>& taken) {
  for (Index c = 0; c < loop.period; ++c) {
    const std::size_t slots = view.nodes[loop.node(c, 0)].in.size();
    for (std::size_t k = 0; k < slots; ++k) {
      std::vector<std::uint32_t> leaves;
      for (Index t = 0; t < loop.steps; ++t) {
        const std::uint32_t leaf = view.nodes[loop.node(c, t)].in[k].from;
        if (is_op(view.nodes[leaf]) || view.nodes[leaf].role == GraphRole::parameter || taken[leaf]) break;
        leaves.push_back(leaf);
      }
      std::vector<std::uint32_t> sorted = leaves;
      std::sort(sorted.begin(), sorted.end());
      if (static_cast<Index>(leaves.size()) != loop.steps ||
          std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
        continue;
      for (std::uint32_t leaf : leaves) taken[leaf] = true;
      loop.nodes.insert(loop.nodes.end(), leaves.begin(), leaves.end());
    }
  }
}

/// The loops that are found in this order of the ops.
std::vector<GraphLoop> find_loops(const GraphView& view, std::vector<std::uint32_t> ops) {
  std::vector<GraphLoop> loops = LoopFinder(view, std::move(ops)).run();
  std::sort(loops.begin(), loops.end(), [](const GraphLoop& a, const GraphLoop& b) { return a.nodes[0] < b.nodes[0]; });
  std::vector<bool> taken(view.nodes.size());
  for (GraphLoop& loop : loops) add_leaves(view, loop, taken);
  return loops;
}

/// How many nodes are drawn with them.
Index drawn(const GraphView& view, const std::vector<GraphLoop>& loops) {
  auto n = static_cast<Index>(view.nodes.size());
  for (const GraphLoop& loop : loops) n -= (loop.steps - 1) * loop.classes();
  return n;
}

}  // namespace

std::vector<GraphLoop> find_loops(const GraphView& view) {
  std::vector<GraphLoop> recorded = find_loops(view, recorded_order(view));
  std::vector<GraphLoop> by_need = find_loops(view, order_by_need(view));
  // The order in which somebody wrote the steps is what they want to see, unless there is much less to be seen.
  return 4 * drawn(view, by_need) < 3 * drawn(view, recorded) ? by_need : recorded;
}

}  // namespace rw
