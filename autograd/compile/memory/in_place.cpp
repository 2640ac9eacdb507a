#include <algorithm>
#include <map>

#include <rewind/autograd/compile/memory/accesses.h>
#include <rewind/autograd/compile/memory/buffer_uses.h>
#include <rewind/autograd/compile/memory/in_place.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {
namespace {

/// All uses of all buffers.
class Memory {
 public:
  Memory(const Graph& g, const Layout& layout) : g_(g), layout_(layout), times_(step_times(g)) {
    uses_.resize(layout.buffers.size());
    has_over_.resize(layout.buffers.size());
    for_each_access(g, layout, times_, [&](NodeId value, NodeId time, bool write) {
      uses_[buffer(value)].accesses.push_back({value, time, write});
    });
    for (std::size_t b = 0; b < uses_.size(); ++b) uses_[b].find_parts(g, layout, layout.buffers[b].bytes);
  }

  Uses& of(std::uint32_t buffer) { return uses_[buffer]; }
  /// b lies over a.
  void merge(std::uint32_t a, std::uint32_t b) {
    std::vector<Access>& all = uses_[a].accesses;
    all.insert(all.end(), uses_[b].accesses.begin(), uses_[b].accesses.end());
    uses_[a].find_parts(g_, layout_, layout_.buffers[a].bytes);
    has_over_[a] = true;
  }
  /// Whether another buffer lies over this one.
  bool under(std::uint32_t buffer) const { return has_over_[buffer]; }
  NodeId time(NodeId i) const { return times_[i]; }
  bool in_buffer(NodeId i) const { return layout_.places[i].base == Base::buffer; }
  std::uint32_t buffer(NodeId i) const { return layout_.places[i].id; }

 private:
  const Graph& g_;
  const Layout& layout_;
  std::vector<NodeId> times_;
  std::vector<Uses> uses_;
  std::vector<bool> has_over_;
};

/// Chooses operands for values.
class Mover {
 public:
  Mover(const Graph& g, const Layout& layout)
      : g_(g), layout_(layout), memory_(g, layout), to_(g.size(), no_node), where_(layout.buffers.size()) {}

  std::vector<NodeId> run(const std::vector<Movable>& movable) {
    // The oldest operand: a younger one may still be in the cache, and its memory is soon used again.
    NodeId value = no_node, best = no_node;
    const auto settle = [&] {
      if (best != no_node) move(value, best);
      best = no_node;
    };
    for_each_pair(g_, layout_, [&](NodeId i, NodeId x) {
      if (i != value) settle();
      value = i;
      if (movable[i] != Movable::no && fits(i, x, movable[i]) &&
          (best == no_node || behind_views(g_, x) < behind_views(g_, best)))
        best = x;
    });
    settle();
    cancel_extensions();
    return std::move(to_);
  }

 private:
  struct Where {
    std::uint32_t buffer = 0;
    Part part;
    bool moved = false;
  };

  Where where(NodeId x) {
    const std::uint32_t b = memory_.buffer(x);
    if (where_[b].moved) return where_[b];
    return {b, memory_.of(b).part_of(g_, layout_, x), false};
  }

  bool fits(NodeId i, NodeId x, Movable movable) {
    if (memory_.buffer(i) == memory_.buffer(x)) return false;
    const Index stride = layout_.places[x].stride, cols = g_.nodes[x].shape.cols();
    const auto size = static_cast<Index>(size_of(g_.nodes[x].dtype));
    if (stride != cols && (movable != Movable::in_rows || cols * size < least_bytes)) return false;
    const std::uint32_t own = memory_.buffer(x);
    if (where_[own].moved && static_cast<std::size_t>(g_.nodes[x].shape.size() * size) != layout_.buffers[own].bytes)
      return false;
    const Where w = where(x);
    const Uses& own_uses = memory_.of(memory_.buffer(i));
    const NodeId until = own_uses.last();
    const bool kernel_at_end = until < g_.size() && g_.nodes[until].kernel != no_kernel && !own_uses.has_parts();
    return memory_.of(w.buffer).free(w.part, memory_.time(i), until, kernel_at_end);
  }

  void move(NodeId i, NodeId x) {
    Where w = where(x);
    w.moved = true;
    const std::uint32_t own = memory_.buffer(i);
    const Uses& uses = memory_.of(own);
    memory_.of(w.buffer).add(w.part, uses);
    where_[own] = w;
    to_[i] = x;
    if (uses.last() > memory_.of(w.buffer).last()) extending_[w.buffer].push_back(i);
  }

  // A large buffer does not live longer for a small value.
  void cancel_extensions() {
    for (const auto& [buffer, values] : extending_) {
      std::size_t bytes = 0;
      for (NodeId i : values) bytes += layout_.buffers[memory_.buffer(i)].bytes;
      if (bytes * 4 < layout_.buffers[buffer].bytes * 3)
        for (NodeId i : values) to_[i] = no_node;
    }
  }

  const Graph& g_;
  const Layout& layout_;
  Memory memory_;
  std::vector<NodeId> to_;
  std::vector<Where> where_;  // by buffer: where the value that had it has moved
  std::map<std::uint32_t, std::vector<NodeId>> extending_;
};

// Whether all of b's parts are written where and when the same parts of a are used last.
bool fits_over(const Graph& g, const Layout& layout, const Uses& a, const Uses& b) {
  for (const Access& w : b.accesses) {
    if (!w.write) continue;
    const Part part = b.part_of(g, layout, w.value);
    if (!(a.part_of(g, layout, w.value) == part)) return false;
    if (g.nodes[w.value].kernel == no_kernel || !a.ends(part, w.time)) return false;
  }
  return true;
}

}  // namespace

std::vector<NodeId> values_in_place(const Graph& g, const Layout& layout, const std::vector<Movable>& movable) {
  return Mover(g, layout).run(movable);
}

std::vector<InBuffer> overlaid_buffers(const Graph& g, const Layout& layout) {
  Memory memory(g, layout);
  std::vector<InBuffer> to(layout.buffers.size());
  std::vector<int> tried(layout.buffers.size());
  for (std::uint32_t b = 0; b < to.size(); ++b) to[b].buffer = b;
  for_each_pair(g, layout, [&](NodeId i, NodeId x) {
    const Place &p = layout.places[i], &q = layout.places[x];
    const std::uint32_t b = p.id, a = to[q.id].buffer;
    if (a == b || to[b].buffer != b || p.offset != q.offset || p.stride != q.stride || tried[b] > 1) return;
    if (layout.buffers[a].bytes != layout.buffers[b].bytes || memory.under(b)) return;
    ++tried[b];
    if (!fits_over(g, layout, memory.of(a), memory.of(b))) return;
    memory.merge(a, b);
    to[b].buffer = a;
  });
  return to;
}

}  // namespace rw::ir
