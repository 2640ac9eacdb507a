#include <algorithm>
#include <numeric>
#include <set>
#include <unordered_map>

#include <rewind/autograd/compile/budget/halves.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {
namespace {

constexpr std::uint32_t unplaced = 0;

bool is_free_view(const Graph& g, NodeId i) { return is_view(g, i) && g.nodes[i].kernel == no_kernel; }

// What a chain of views that are in no kernel looks at.
NodeId behind_free_views(const Graph& g, NodeId i) {
  while (is_free_view(g, i)) i = g.in(i, 0);
  return i;
}

/// How much of the sequences has been read when a node can be computed: the part of an argument's first axis, from 0
/// to 1, at which the last of the slices that it needs begins. Only an argument of which many slices are read is one.
class Progress {
 public:
  explicit Progress(const Graph& g) : g_(g), given_(g.size()), sliced_(g.size()), at_(g.size()) {
    std::unordered_map<NodeId, std::set<Index>> starts;
    for (NodeId i = 0; i < g.size(); ++i) {
      follow(i);
      if (is_slice_of_rows(i)) starts[behind_reshapes(g, g.in(i, 0))].insert(g.op<Slice>(i).start);
    }
    for (NodeId i = 0; i < g.size(); ++i) {
      for (NodeId in : g.in(i)) at_[i] = std::max(at_[i], at_[in]);
      if (!is_slice_of_rows(i) || starts[behind_reshapes(g, g.in(i, 0))].size() < fewest) continue;
      const auto rows = static_cast<double>(g.nodes[g.in(i, 0)].shape[0]);
      at_[i] = std::max(at_[i], static_cast<double>(g.op<Slice>(i).start) / rows);
    }
  }
  double operator[](NodeId i) const { return at_[i]; }

 private:
  static constexpr std::size_t fewest = 8;

  // What is computed of an argument as a whole, as its rows' embeddings are, stands for it.
  bool is_slice_of_rows(NodeId i) const {
    return g_.is<Slice>(i) && g_.op<Slice>(i).axis == 0 && given_[g_.in(i, 0)] && !sliced_[g_.in(i, 0)];
  }
  void follow(NodeId i) {
    given_[i] = g_.nodes[i].role == Role::input && g_.nodes[i].leaf != random_key_leaf;
    sliced_[i] = g_.is<Slice>(i) && g_.op<Slice>(i).axis == 0 && given_[g_.in(i, 0)];
    for (NodeId in : g_.in(i)) {
      given_[i] = given_[i] || given_[in];
      sliced_[i] = sliced_[i] || (given_[in] && sliced_[in]);
    }
  }

  const Graph& g_;
  std::vector<bool> given_, sliced_;  // by node: it depends on an argument, on a slice of one
  std::vector<double> at_;
};

}  // namespace

Halves::Halves(const Graph& g) {
  find_units(g);
  find_kinds(g);
  const std::vector<std::size_t> bytes = find_bytes(g);
  const std::uint32_t turn = find_turn(g, bytes);
  for (NodeId i = 0; i < g.size(); ++i)
    if (kinds[i] == Kind::forward && unit_of[i] >= turn) kinds[i] = Kind::backward;
  order_forward(g);
  cut(g, bytes);
  find_reads(g);
  order_backward(g);
}

void Halves::find_units(const Graph& g) {
  unit_of.resize(g.size());
  for (NodeId i = 0; i < g.size(); ++i) {
    const std::uint32_t k = g.nodes[i].kernel;
    if (i == 0 || k == no_kernel || g.nodes[i - 1].kernel != k) units.push_back({i, i});
    unit_of[i] = static_cast<std::uint32_t>(units.size() - 1);
    units.back().end = i + 1;
  }
}

// A kernel is fixed when all of it is. A long way from parameters alone is no preparation of them: it may be the loop.
void Halves::find_kinds(const Graph& g) {
  constexpr std::uint32_t longest = 3;
  kinds.assign(g.size(), Kind::forward);
  std::vector<std::uint32_t> way(units.size());
  for (const Unit& u : units) {
    bool fixed = true;
    std::uint32_t& mine = way[unit_of[u.begin]];
    for (NodeId i = u.begin; i < u.end; ++i)
      for (NodeId in : g.in(i)) {
        const NodeId from = behind_free_views(g, in);
        if (unit_of[from] == unit_of[i]) continue;
        fixed = fixed && kinds[from] == Kind::fixed && g.nodes[from].role != Role::input;
        mine = std::max(mine, way[unit_of[from]] + 1);
      }
    fixed = fixed && mine <= longest;
    for (NodeId i = u.begin; i < u.end; ++i) {
      if (fixed || is_leaf(g, i))
        kinds[i] = Kind::fixed;
      else if (is_free_view(g, i))
        kinds[i] = Kind::view;
    }
  }
}

// Of values that are stored: read by other units, or results. Pieces of a concatenation stand in its memory.
std::vector<std::size_t> Halves::find_bytes(const Graph& g) const {
  std::vector<std::size_t> bytes(g.size());
  const auto store = [&](NodeId i) {
    i = behind_views(g, i);
    if (kinds[i] == Kind::forward && !g.is<Concat>(i))
      bytes[i] = static_cast<std::size_t>(g.nodes[i].shape.size()) * size_of(g.nodes[i].dtype);
  };
  for (NodeId i = 0; i < g.size(); ++i)
    for (NodeId in : g.in(i))
      if (unit_of[in] != unit_of[i]) store(in);
  for (NodeId o : g.outputs) store(o);
  for (const Effect& e : g.effects) store(e.value);
  return bytes;
}

// The latest position of a unit that reads a value, itself or as a part of a view or a concatenation. Units without a
// position (`unplaced`) do not count.
std::vector<std::uint32_t> Halves::last_uses(const Graph& g, const std::vector<std::uint32_t>& position) const {
  std::vector<std::uint32_t> last(g.size(), unplaced);
  for (NodeId i = g.size(); i-- > 0;) {
    const std::uint32_t at = std::max(position[unit_of[i]], is_view(g, i) || g.is<Concat>(i) ? last[i] : unplaced);
    for (NodeId in : g.in(i)) last[in] = std::max(last[in], at);
  }
  return last;
}

// Where the most bytes are alive: behind that unit the backward half begins. Sums of gradients do not count, which take
// the same memory all the time once they have begun.
std::uint32_t Halves::find_turn(const Graph& g, const std::vector<std::size_t>& bytes) const {
  std::vector<bool> counts(g.size());
  for (NodeId i = 0; i < g.size(); ++i)
    for (NodeId in : g.in(i))
      if (!is_view(g, i) && !g.is<AddN>(i)) counts[behind_views(g, in)] = true;
  std::vector<std::uint32_t> listed(units.size());
  std::iota(listed.begin(), listed.end(), 1u);
  const std::vector<std::uint32_t> last = last_uses(g, listed);
  std::vector<std::size_t> ends(units.size() + 2);
  std::size_t alive = 0, most = 0;
  std::uint32_t turn = 0;
  for (std::uint32_t u = 0; u < units.size(); ++u) {
    for (NodeId i = units[u].begin; i < units[u].end; ++i) {
      if (last[i] <= u + 1 || !counts[i] || g.is<AddN>(i)) continue;  // nor do results
      alive += bytes[i];
      ends[last[i]] += bytes[i];
    }
    if (alive > most) most = alive, turn = u + 1;
    alive -= ends[u + 1];
  }
  return turn;
}

// As it is listed, but where sequences are read step by step, in the order of what has been read of them: the layers of
// a stack are listed one after the other, and run side by side, a block of steps each.
void Halves::order_forward(const Graph& g) {
  const Progress progress(g);
  std::vector<double> at(units.size());
  for (std::uint32_t u = 0; u < units.size(); ++u) {
    const NodeId i = units[u].begin;
    for (NodeId k = i; k < units[u].end; ++k) {
      at[u] = std::max(at[u], progress[k]);
      for (NodeId in : g.in(k)) at[u] = std::max(at[u], at[unit_of[in]]);
    }
    if (kinds[i] == Kind::forward) forward.push_back(u);
    if (kinds[i] == Kind::backward) backward.push_back(u);
  }
  std::stable_sort(forward.begin(), forward.end(), [&](std::uint32_t a, std::uint32_t b) { return at[a] < at[b]; });
}

// Cuts where what a segment leaves to later ones is little beside what it has computed. What many of them need is kept
// wherever the cuts are, and says nothing about where to cut: so does what is collected, as the states of all steps for
// one product at the end.
void Halves::cut(const Graph& g, const std::vector<std::size_t>& bytes) {
  constexpr std::size_t much = 64, some = 4, fewest_segments = 12, most_segments = 2000, collected = 32;
  std::vector<std::uint32_t> position(units.size(), unplaced);
  for (std::uint32_t p = 0; p < forward.size(); ++p) position[forward[p]] = p + 1;
  const std::vector<std::uint32_t> last = last_uses(g, position);
  std::size_t all = 0;
  std::vector<std::uint32_t> together(forward.size() + 1);
  for (std::uint32_t u : forward)
    for (NodeId i = units[u].begin; i < units[u].end; ++i)
      if (bytes[i] > 0) all += bytes[i], ++together[last[i]];
  std::vector<std::size_t> ends(forward.size() + 1);
  std::size_t inside = 0, leaves = 0;
  std::uint32_t begin = 0;
  const std::size_t long_life = forward.size() / 4 + 1;
  segment.assign(g.size(), 0);
  first.assign(1, 0);
  for (std::uint32_t p = 0; p < forward.size(); ++p) {
    for (NodeId i = units[forward[p]].begin; i < units[forward[p]].end; ++i) {
      segment[i] = static_cast<std::uint32_t>(first.size() - 1);
      inside += bytes[i];
      if (last[i] <= p + 1 || last[i] - p > long_life || together[last[i]] > collected) continue;
      leaves += bytes[i];
      ends[last[i]] += bytes[i];
    }
    leaves -= ends[p + 1];
    ends[p + 1] = 0;
    const bool narrow = inside >= much * leaves || (inside * fewest_segments >= all && inside >= some * leaves);
    if (!narrow || inside * most_segments < all || p + 1 == forward.size()) continue;
    widest = std::max(widest, leaves);
    first.push_back(p + 1);
    inside = leaves = 0;
    for (; begin <= p; ++begin)  // what they leave to later segments counts no more
      for (NodeId i = units[forward[begin]].begin; i < units[forward[begin]].end; ++i)
        if (last[i] > p + 1) ends[last[i]] = 0;
  }
  first.push_back(static_cast<std::uint32_t>(forward.size()));
}

void Halves::find_reads(const Graph& g) {
  reads.resize(g.size());
  for (std::uint32_t u : forward)
    for (NodeId i = units[u].begin; i < units[u].end; ++i)
      for (NodeId in : g.in(i)) {
        const NodeId from = behind_free_views(g, in);
        if (kinds[from] == Kind::forward && segment[from] < segment[i]) reads[from].push_back(segment[i]);
      }
}

// A unit runs with the last segment that can give it all that it needs.
void Halves::order_backward(const Graph& g) {
  late.resize(g.size());
  wanted.resize(segments());
  const auto gives = [&](NodeId from) {
    return reads[from].empty() ? segment[from] : std::max(segment[from], reads[from].back());
  };
  for (auto& r : reads) std::sort(r.begin(), r.end());
  std::vector<std::vector<std::uint32_t>> with(segments());
  std::vector<std::pair<NodeId, std::uint32_t>> more;
  for (std::uint32_t u : backward) {
    std::uint32_t s = segments() - 1;
    const auto each_input = [&](auto&& f) {
      for (NodeId i = units[u].begin; i < units[u].end; ++i)
        for (NodeId in : g.in(i)) f(behind_free_views(g, in));
    };
    each_input([&](NodeId from) {
      if (kinds[from] == Kind::backward && unit_of[from] != u) s = std::min(s, segment[from]);
      if (kinds[from] == Kind::forward) s = std::min(s, gives(from));
    });
    for (NodeId i = units[u].begin; i < units[u].end; ++i) segment[i] = s;
    with[s].push_back(u);
    each_input([&](NodeId from) {
      if (kinds[from] != Kind::forward) return;
      if (segment[from] < s) return more.emplace_back(from, s), void();
      wanted[segment[from]].push_back(from);
      if (segment[from] > s) late[from] = true;
    });
  }
  for (const auto& [from, s] : more) reads[from].push_back(s);
  for (auto& r : reads) {
    std::sort(r.begin(), r.end());
    r.erase(std::unique(r.begin(), r.end()), r.end());
  }
  backward.clear();
  for (std::uint32_t s = segments(); s-- > 0;) backward.insert(backward.end(), with[s].begin(), with[s].end());
}

}  // namespace rw::ir
