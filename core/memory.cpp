#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <rewind/core/memory.h>

namespace rw::detail {

void* aligned_memory(std::size_t bytes) {
  constexpr std::size_t line = 64, page = std::size_t{1} << 21;
  const std::size_t rounded = bytes == 0 ? line : (bytes + line - 1) / line * line;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (rounded >= 2 * page) {
    void* const p = std::aligned_alloc(page, rounded);
    // Whole pages alone; refused, it is memory as any other.
    if (p != nullptr) madvise(p, rounded / page * page, MADV_HUGEPAGE);
    return p;
  }
#endif
  return std::aligned_alloc(line, rounded);
}

}  // namespace rw::detail
