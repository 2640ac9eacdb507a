#include <algorithm>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/compile/memory/guard.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

// A nan in f32 as in f64, and an index that nothing has.
constexpr std::uint32_t nan_word = 0x7ff40001u;

std::size_t whole_vectors(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

MemoryGuard::MemoryGuard(const Graph& g, const Layout& layout, std::byte* arena)
    : g_(g), layout_(layout), arena_(arena), by_first_(layout.buffers.size()), was_(layout.arena) {
  std::iota(by_first_.begin(), by_first_.end(), 0u);
  std::stable_sort(by_first_.begin(), by_first_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return layout_.buffers[a].first < layout_.buffers[b].first;
  });
}

void MemoryGuard::begin() {
  begun_ = 0;
  for (std::size_t at = 0; at + sizeof nan_word <= layout_.arena; at += sizeof nan_word)
    std::memcpy(arena_ + at, &nan_word, sizeof nan_word);
}

MemoryGuard::Unit MemoryGuard::unit_of(NodeId node) const {
  Unit unit{node, node + 1};
  const std::uint32_t kernel = g_.nodes[node].kernel;
  if (kernel == no_kernel) return unit;
  while (unit.begin > 0 && g_.nodes[unit.begin - 1].kernel == kernel) --unit.begin;
  while (unit.end < g_.size() && g_.nodes[unit.end].kernel == kernel) ++unit.end;
  return unit;
}

void MemoryGuard::fill(const Layout::Buffer& buffer) {
  for (std::size_t at = 0; at < whole_vectors(buffer.bytes); at += sizeof nan_word)
    std::memcpy(arena_ + buffer.address + at, &nan_word, sizeof nan_word);
}

void MemoryGuard::before(NodeId node) {
  const Unit unit = unit_of(node);
  for (; begun_ < by_first_.size() && layout_.buffers[by_first_[begun_]].first < unit.end; ++begun_)
    fill(layout_.buffers[by_first_[begun_]]);
  std::copy_n(arena_, layout_.arena, was_.begin());
}

void MemoryGuard::allow(NodeId value) {
  if (layout_.places[value].base == Base::buffer) allow(layout_.places[value], g_.nodes[value]);
}

// The last vector of a buffer is its own as a whole.
void MemoryGuard::allow(const Place& place, const Node& n) {
  const Layout::Buffer& buffer = layout_.buffers[place.id];
  const std::size_t size = size_of(n.dtype);
  for (Index r = 0; r < n.shape.rows(); ++r) {
    const std::size_t first = static_cast<std::size_t>(place.offset + r * place.stride) * size;
    std::size_t last = first + static_cast<std::size_t>(n.shape.cols()) * size;
    if (last == buffer.bytes) last = whole_vectors(last);
    for (std::size_t at = first; at < last; ++at) allowed_[buffer.address + at] = true;
  }
}

void MemoryGuard::after(NodeId node, bool copies) {
  const Unit unit = unit_of(node);
  allowed_.assign(whole_vectors(layout_.arena), false);
  for (NodeId i = unit.begin; i < unit.end; ++i)
    if (copies || layout_.computed[i]) allow(i);
  for (const Layout::ContiguousInput& copy : layout_.contiguous_inputs)
    if (copies && copy.node == node) allow(copy.to, g_.nodes[g_.in(node, copy.input)]);
  constexpr std::size_t vector = 64;  // most of memory is as it was
  for (std::size_t begin = 0; begin < was_.size(); begin += vector) {
    const std::size_t end = std::min(begin + vector, was_.size());
    if (std::memcmp(&was_[begin], arena_ + begin, end - begin) == 0) continue;
    for (std::size_t at = begin; at < end; ++at)
      if (was_[at] != arena_[at] && !allowed_[at])
        throw Error(fmt::format("compile: {} wrote outside of its place, at byte {} of {}", g_.describe(node), at,
                                layout_.arena));
  }
}

}  // namespace rw::ir
