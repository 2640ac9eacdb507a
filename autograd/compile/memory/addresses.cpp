#include <algorithm>
#include <map>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {
namespace {

using FreeBlocks = std::map<std::size_t, std::size_t>;  // address to size

std::size_t rounded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

void release(FreeBlocks& free, const Layout::Buffer& b) {
  const std::size_t size = rounded(b.bytes);
  if (size == 0) return;
  auto at = free.emplace(b.address, size).first;
  if (const auto after = std::next(at); after != free.end() && at->first + at->second == after->first) {
    at->second += after->second;
    free.erase(after);
  }
  if (at == free.begin()) return;
  const auto before = std::prev(at);
  if (before->first + before->second != at->first) return;
  before->second += at->second;
  free.erase(at);
}

// The smallest of the first blocks that are large enough.
FreeBlocks::iterator best_fit(FreeBlocks& free, std::size_t size) {
  auto best = free.end();
  int looked = 0;
  for (auto f = free.begin(); f != free.end() && looked < 64; ++f, ++looked)
    if (f->second >= size && (best == free.end() || f->second < best->second)) best = f;
  return best;
}

// One sweep over the times at which buffers begin, with the free blocks sorted by address.
void assign(Layout& layout, std::vector<std::uint32_t> by_first, bool reuse) {
  std::vector<std::uint32_t> by_last = by_first;
  const auto& buffers = layout.buffers;
  std::sort(by_first.begin(), by_first.end(),
            [&](auto a, auto b) { return std::pair(buffers[a].first, a) < std::pair(buffers[b].first, b); });
  std::sort(by_last.begin(), by_last.end(),
            [&](auto a, auto b) { return std::pair(buffers[a].last, a) < std::pair(buffers[b].last, b); });
  FreeBlocks free;
  std::size_t ended = 0;
  for (std::uint32_t i : by_first) {
    Layout::Buffer& b = layout.buffers[i];
    while (reuse && ended < by_last.size() && buffers[by_last[ended]].last < b.first)
      release(free, buffers[by_last[ended++]]);
    const std::size_t size = rounded(b.bytes);
    const auto best = best_fit(free, size);
    if (best == free.end()) {
      b.address = layout.arena;
      layout.arena += size;
      continue;
    }
    b.address = best->first;
    const std::size_t rest = best->second - size;
    free.erase(best);
    if (rest > 0) free.emplace(b.address + size, rest);
  }
}

}  // namespace

// Lanes have addresses of their own. What stands elsewhere has left an empty buffer behind, which needs none.
void assign_addresses(Layout& layout, bool reuse) {
  std::map<std::uint32_t, std::vector<std::uint32_t>> by_lane;
  for (std::uint32_t i = 0; i < layout.buffers.size(); ++i)
    if (layout.buffers[i].bytes > 0) by_lane[layout.buffers[i].lane].push_back(i);
  for (auto& [lane, buffers] : by_lane) assign(layout, std::move(buffers), reuse);
}

}  // namespace rw::ir
