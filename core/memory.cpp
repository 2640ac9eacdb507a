#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include <rewind/core/memory.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rw::detail {
namespace {

constexpr std::size_t vector = 64, page = 4096, large_page = std::size_t{1} << 21;

}  // namespace

void* allocate_vectors(std::size_t bytes) {
  const std::size_t size = std::max(vector, (bytes + vector - 1) / vector * vector);
  void* p = std::aligned_alloc(vector, size);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (p != nullptr && size >= large_page) {
    const auto at = reinterpret_cast<std::uintptr_t>(p), begin = (at + page - 1) / page * page;
    madvise(reinterpret_cast<void*>(begin), (at + size - begin) / page * page, MADV_HUGEPAGE);  // a wish: it may fail
  }
#endif
  return p;
}

}  // namespace rw::detail
