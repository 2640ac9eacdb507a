#pragma once

#include <cstddef>
#include <cstdint>

namespace rw::detail {

/// Memory for whole vectors, at least `bytes` and one of them, aligned to 64 bytes; null when there is none. Freed by
/// std::free. The system is asked for large pages where they fit: products of large matrices read from so many pages at
/// once that looking them up took a twentieth of the time.
void* allocate_vectors(std::size_t bytes);

/// Bytes of memory that this process may use: what the machine has, or less where its container (cgroup) or RLIMIT_AS
/// says so.
std::uint64_t memory_of_machine();

}  // namespace rw::detail
