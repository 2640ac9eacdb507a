#include <algorithm>
#include <map>

#include <rewind/autograd/compile/memory/accesses.h>
#include <rewind/autograd/compile/memory/in_place.h>

namespace rw::ir {
namespace {

/// Elements of a buffer: rows at a fixed distance, or one run of them.
struct Elements {
  Index begin = 0, rows = 1, cols = 0, stride = 0;
  bool operator==(const Elements&) const = default;
  Index end() const { return begin + (rows - 1) * stride + cols; }
};

Elements elements_of(const Graph& g, const Layout& layout, NodeId value) {
  const Shape& shape = g.nodes[value].shape;
  const Place& p = layout.places[value];
  if (shape.rows() <= 1 || p.stride == shape.cols()) return {p.offset, 1, shape.size(), 0};
  return {p.offset, shape.rows(), shape.cols(), p.stride};
}

bool apart(const Elements& a, const Elements& b) {
  if (a.end() <= b.begin || b.end() <= a.begin) return true;
  if (a.stride == 0 || a.stride != b.stride) return false;
  const Index first = a.begin % a.stride, second = b.begin % a.stride;
  if (first + a.cols > a.stride || second + b.cols > a.stride) return false;
  return first + a.cols <= second || second + b.cols <= first;
}

struct Touch {
  NodeId time = 0;
  bool write = false;
  Elements elements;
};

/// What a buffer is used for, in order of time.
struct History {
  std::vector<Touch> touches;
  NodeId last() const { return touches.empty() ? 0 : touches.back().time; }
};

/// A stack cut into blocks of so many elements: what touches one alone, and the first touch of several.
struct Blocks {
  std::vector<std::vector<Touch>> alone;
  NodeId first_of_several = no_node;
};

class Stacker {
 public:
  Stacker(const Graph& g, const Layout& layout)
      : g_(g), layout_(layout), histories_(layout.buffers.size()), to_(layout.buffers.size()) {
    for (std::uint32_t b = 0; b < to_.size(); ++b) to_[b] = {b, 0};
    for_each_access(g, layout, step_times(g), [&](NodeId value, NodeId time, bool write) {
      histories_[layout.places[value].id].touches.push_back({time, write, elements_of(g, layout, value)});
    });
    for (History& h : histories_)
      std::stable_sort(h.touches.begin(), h.touches.end(),
                       [](const Touch& a, const Touch& b) { return a.time < b.time; });
  }

  std::vector<InBuffer> run() {
    for_each_pair(g_, layout_, [&](NodeId written, NodeId operand) { consider(written, operand); });
    for (const auto& [stack, filled] : in_) {
      const bool most =
          filled.buffers.size() * static_cast<std::size_t>(filled.bytes) * 4 >= layout_.buffers[stack].bytes * 3;
      const bool stays = to_[stack].buffer == stack;
      for (const auto& [block, buffer] : filled.buffers)
        if (!most || !stays || in_.contains(buffer)) to_[buffer] = {buffer, 0};
    }
    return std::move(to_);
  }

 private:
  void consider(NodeId written, NodeId operand) {
    const Place &p = layout_.places[written], &q = layout_.places[operand];
    const Layout::Buffer &stack = layout_.buffers[p.id], &own = layout_.buffers[q.id];
    if (p.id == q.id || to_[q.id].buffer != q.id || p.stride != q.stride || own.bytes == 0) return;
    const auto size = static_cast<Index>(size_of(g_.nodes[written].dtype));
    const Index begin = p.offset - q.offset, length = static_cast<Index>(own.bytes) / size;
    if (stack.bytes < 2 * own.bytes || stack.bytes % own.bytes != 0 || begin < 0 || begin % length != 0) return;
    const auto block = static_cast<std::size_t>(begin / length);
    const auto known = in_.find(p.id);
    if (known != in_.end() && (known->second.bytes != own.bytes || known->second.buffers.contains(block))) return;
    if (!fits(histories_[q.id], blocks_of(p.id, length), block, begin)) return;
    Filled& filled = in_[p.id];
    filled.bytes = own.bytes;
    filled.buffers[block] = q.id;
    to_[q.id] = {p.id, begin};
  }

  const Blocks& blocks_of(std::uint32_t stack, Index length) {
    const auto [at, fresh] = blocks_.try_emplace({stack, length});
    if (!fresh) return at->second;
    Blocks& out = at->second;
    for (const Touch& t : histories_[stack].touches) {
      const auto first = static_cast<std::size_t>(t.elements.begin / length);
      if (t.elements.end() > (static_cast<Index>(first) + 1) * length) {
        out.first_of_several = std::min(out.first_of_several, t.time);
        continue;
      }
      if (out.alone.size() <= first) out.alone.resize(first + 1);
      out.alone[first].push_back(t);
    }
    return out;
  }

  // Whether a block of a stack is used only after the last use of a buffer that would stand there, or by the kernel of
  // that use, which writes what it reads or what it does not look at.
  static bool fits(const History& own, const Blocks& blocks, std::size_t block, Index begin) {
    const NodeId last = own.last();
    if (blocks.first_of_several <= last || block >= blocks.alone.size()) return false;
    for (const Touch& t : blocks.alone[block]) {
      if (t.time > last) continue;
      if (t.time < last || !t.write) return false;
      for (auto mine = own.touches.rbegin(); mine != own.touches.rend() && mine->time == last; ++mine) {
        Elements there = mine->elements;
        there.begin += begin;
        if (mine->write || !(there == t.elements || apart(there, t.elements))) return false;
      }
    }
    return true;
  }

  const Graph& g_;
  const Layout& layout_;
  std::vector<History> histories_;
  std::vector<InBuffer> to_;
  /// What would stand in a stack: buffers of so many bytes, by block.
  struct Filled {
    std::size_t bytes = 0;
    std::map<std::size_t, std::uint32_t> buffers;
  };
  std::map<std::uint32_t, Filled> in_;
  std::map<std::pair<std::uint32_t, Index>, Blocks> blocks_;
};

}  // namespace

// In lanes the order of nodes is not that of time.
std::vector<InBuffer> buffers_in_stacks(const Graph& g, const Layout& layout) {
  if (std::any_of(g.nodes.begin(), g.nodes.end(), [](const Node& n) { return n.lane != Lane(); })) return {};
  return Stacker(g, layout).run();
}

}  // namespace rw::ir
