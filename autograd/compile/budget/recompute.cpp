#include <algorithm>
#include <utility>

#include <rewind/autograd/binomial_checkpoints.h>
#include <rewind/autograd/compile/budget/recompute.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

using Kind = Halves::Kind;

class Recomputer {
 public:
  Recomputer(const Graph& g, const Halves& halves, const Recomputed& what)
      : g_(g),
        h_(halves),
        what_(what),
        out_(g.like()),
        first_(g.size(), no_node),
        now_(g.size(), no_node),
        late_(g.size(), no_node),
        now_since_(g.size()),
        needed_since_(g.size()),
        kept_(g.size()) {}

  Graph run() {
    find_kept();
    for (std::uint32_t u : h_.forward) write_first(u);
    for (std::uint32_t s = h_.segments(); s-- > what_.segments;) backward(s);
    forward_only_ = false;
    end_ = what_.segments;
    if (what_.segments > 0) reverse_the_others();
    for (NodeId o : g_.outputs) out_.outputs.push_back(first(o));
    for (const Effect& e : g_.effects) out_.effects.push_back({e.parameter, first(e.value)});
    return sorted(std::move(out_));
  }

 private:
  /// The values that a segment, and what comes behind it, takes from earlier ones, each with the node that has it.
  using State = std::vector<std::pair<NodeId, NodeId>>;

  bool is_view(NodeId i) const { return h_.kinds[i] == Kind::view; }

  // Results stand until the next call, and what is not computed again as long as it is needed.
  void find_kept() {
    const auto keep = [&](NodeId i) {
      while (is_view(i)) i = g_.in(i, 0);
      kept_[i] = true;
    };
    for (NodeId i = 0; i < g_.size(); ++i)
      kept_[i] = h_.kinds[i] != Kind::view && (h_.kinds[i] != Kind::forward || h_.segment[i] >= what_.segments);
    for (NodeId o : g_.outputs) keep(o);
    for (const Effect& e : g_.effects) keep(e.value);
  }

  // ---- The graph as it was: every node once ----

  // Writes a unit, whose inputs have been written or are views of what has been, or fixed.
  void write_first(std::uint32_t unit) {
    const auto [begin, end] = h_.units[unit];
    for (NodeId i = begin; i < end; ++i)
      for (NodeId in : g_.in(i))
        if (h_.unit_of[in] != unit) first(in);
    for (NodeId i = begin; i < end; ++i)
      append(
          i, [&](NodeId in) { return first_[in]; }, first_[i], begin);
  }
  NodeId first(NodeId i) {
    if (first_[i] == no_node) write_first(h_.unit_of[i]);
    return first_[i];
  }

  // Of nodes outside of kernels; within, no node may come between those of a kernel.
  void append_now(NodeId i, NodeId& to) {
    std::vector<NodeId> pieces;
    for (NodeId in : g_.in(i)) pieces.push_back(g_.is<Concat>(i) && !forward_only_ ? piece(i, in) : now(in));
    to = out_.append(g_.nodes[i], pieces);
  }
  template <class Input>
  void append(NodeId i, Input&& input, NodeId& to, NodeId first_of_kernel) {
    inputs_.clear();
    for (NodeId in : g_.in(i)) inputs_.push_back(input(in));
    Node n = g_.nodes[i];
    if (n.kernel != no_kernel) n.kernel = i == first_of_kernel ? kernels_++ : kernels_ - 1;
    to = out_.append(n, inputs_);
  }

  // What was stored, as a piece of a concatenation, would stand in the memory of the whole from the beginning on: a
  // copy of it does so in its place.
  NodeId piece(NodeId concat, NodeId in) {
    NodeId from = in;
    while (is_view(from)) from = g_.in(from, 0);
    const NodeId is = now(in);
    if (h_.kinds[from] != Kind::forward || now(from) >= since_) return is;
    return out_.add(Copy{}, {is}, g_.nodes[concat]);
  }

  // ---- What is computed again ----

  // Whether the value is there, as it was computed first or since.
  bool is_there(NodeId i) const { return kept_[i] || now_since_[i] == moment_; }

  NodeId now(NodeId i) {
    if (forward_only_ || kept_[i]) return first(i);
    if (now_since_[i] == moment_) return now_[i];
    if (!is_view(i)) {
      if (late_[i] == no_node) throw Error("compile: memory: a value is gone before it is read: " + g_.describe(i));
      return late_[i];
    }
    const NodeId from = now(g_.in(i, 0));
    if (from == first_[g_.in(i, 0)]) return first(i);
    const NodeId view = out_.append(g_.nodes[i], {&from, 1});
    return set(i, view);
  }
  NodeId set(NodeId i, NodeId is) {
    now_since_[i] = moment_;
    return now_[i] = is;
  }

  void need(NodeId i) {
    while (is_view(i)) i = g_.in(i, 0);
    if (!is_there(i) && late_[i] == no_node) needed_since_[i] = needs_;
  }

  // Computes what is needed of segments [from, to).
  void compute(std::uint32_t from, std::uint32_t to) {
    const auto begin = h_.first[from], end = h_.first[to];
    for (auto p = end; p-- > begin;) {
      const Halves::Unit& u = h_.units[h_.forward[p]];
      for (NodeId i = u.end; i-- > u.begin;)
        if (needed_since_[i] == needs_)
          for (NodeId in : g_.in(i)) need(in);
    }
    for (auto p = begin; p < end; ++p) compute(h_.forward[p]);
  }
  void compute(std::uint32_t unit) {
    const auto [begin, end] = h_.units[unit];
    NodeId first_of_kernel = no_node;
    for (NodeId i = begin; i < end; ++i) {
      if (needed_since_[i] != needs_ || is_there(i)) continue;
      if (first_of_kernel == no_node) first_of_kernel = i;
      for (NodeId in : g_.in(i))
        if (h_.unit_of[in] != unit) now(in);
    }
    if (first_of_kernel == no_node) return;
    for (NodeId i = begin; i < end; ++i) {
      if (needed_since_[i] != needs_ || is_there(i)) continue;
      NodeId is = no_node;
      if (g_.nodes[i].kernel == no_kernel)
        append_now(i, is);
      else
        append(
            i, [&](NodeId in) { return now(in); }, is, first_of_kernel);
      set(i, is);
    }
  }

  // ---- The way through the segments ----

  void reverse_the_others() {
    std::vector<State> stored(what_.places);
    bool first_way = true;
    run_checkpoints(what_.segments, what_.places,
                    {.advance = [&](Index from, Index to) { advance(segment(from), segment(to), first_way); },
                     .store = [&](Index place) { stored[static_cast<std::size_t>(place)] = current_; },
                     .load = [&](Index place) { current_ = stored[static_cast<std::size_t>(place)]; },
                     .reverse =
                         [&](Index s) {
                           first_way = false;
                           reverse(segment(s));
                         }});
  }
  static std::uint32_t segment(Index s) { return static_cast<std::uint32_t>(s); }

  // Whether a segment in [from, end_) reads a value of an earlier one.
  bool goes_on(NodeId i, std::uint32_t from) const {
    const std::vector<std::uint32_t>& r = h_.reads[i];
    const auto next = std::lower_bound(r.begin(), r.end(), from);
    return next != r.end() && *next < end_;
  }

  void begin_at(const State& state) {
    ++moment_;
    ++needs_;
    since_ = out_.size();
    for (const auto& [i, is] : state) set(i, is);
  }

  // From the beginning of a segment to that of a later one; on the first way all values are those that the forward
  // half has computed.
  void advance(std::uint32_t from, std::uint32_t to, bool first_way) {
    begin_at(current_);
    std::vector<NodeId> wanted;
    for (const auto& [i, is] : current_)
      if (goes_on(i, to)) wanted.push_back(i);
    for (auto p = h_.first[from]; p < h_.first[to]; ++p)
      for (NodeId i = h_.units[h_.forward[p]].begin; i < h_.units[h_.forward[p]].end; ++i)
        if (!kept_[i] && goes_on(i, to)) wanted.push_back(i);
    if (!first_way) {
      for (NodeId i : wanted) need(i);
      compute(from, to);
    }
    State state;
    for (NodeId i : wanted) state.emplace_back(i, first_way ? first_[i] : now(i));
    current_ = std::move(state);
  }

  void reverse(std::uint32_t s) {
    begin_at(current_);
    for (NodeId i : h_.wanted[s]) need(i);
    compute(s, s + 1);
    for (NodeId i : h_.wanted[s])
      if (h_.late[i] && !kept_[i]) late_[i] = now(i);
    backward(s);
    end_ = s;
  }

  // The units of the backward half that run with a segment: they are in order, and those of later segments are done.
  void backward(std::uint32_t s) {
    for (; next_ < h_.backward.size(); ++next_) {
      const auto [begin, end] = h_.units[h_.backward[next_]];
      if (h_.segment[begin] != s) return;
      for (NodeId i = begin; i < end; ++i)
        for (NodeId in : g_.in(i))
          if (h_.unit_of[in] != h_.unit_of[i]) now(in);
      for (NodeId i = begin; i < end; ++i)
        if (g_.nodes[i].kernel == no_kernel)
          append_now(i, first_[i]);
        else
          append(
              i, [&](NodeId in) { return h_.unit_of[in] == h_.unit_of[i] ? first_[in] : now(in); }, first_[i], begin);
    }
  }

  const Graph& g_;
  const Halves& h_;
  Recomputed what_;
  Graph out_;
  std::vector<NodeId> first_;       // as the graph has it
  std::vector<NodeId> now_, late_;  // computed again: now, and what is still to be read later
  std::vector<std::uint32_t> now_since_, needed_since_;
  std::vector<bool> kept_;
  std::uint32_t moment_ = 0, needs_ = 0, kernels_ = 0;
  NodeId since_ = 0;          // nodes from here on are of the present moment
  bool forward_only_ = true;  // nothing has been computed again
  std::size_t next_ = 0;      // of the backward half
  std::uint32_t end_ = 0;     // segments from here on are done
  State current_;             // at the beginning of the segment to which the way has come
  std::vector<NodeId> inputs_;
};

}  // namespace

Graph recompute(const Graph& g, const Halves& halves, const Recomputed& what) {
  return Recomputer(g, halves, what).run();
}

}  // namespace rw::ir
