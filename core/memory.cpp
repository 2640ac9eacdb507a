#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

#include <rewind/core/memory.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rw::detail {
namespace {

constexpr std::size_t vector = 64, page = 4096, large_page = std::size_t{1} << 21;

// The number in a file of the system; no limit when there is none ("max", or no such file).
std::uint64_t limit_in(const char* path) {
  std::uint64_t limit = 0;
  return std::ifstream(path) >> limit && limit > 0 ? limit : UINT64_MAX;
}

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

std::uint64_t memory_of_machine() {
  const auto pages = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES));
  std::uint64_t bytes = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
    bytes = std::min(bytes, limit_in(path));
  rlimit space{};
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    bytes = std::min(bytes, static_cast<std::uint64_t>(space.rlim_cur));
  return bytes;
}

}  // namespace rw::detail
