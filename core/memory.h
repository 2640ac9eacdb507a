#pragma once

#include <cstddef>

namespace rw::detail {

/// At least `bytes` bytes at a multiple of 64, for std::free; null when there are none. Large ones ask the system for
/// large pages, where it has them on request: a walk through many small ones waits for the table of pages.
void* aligned_memory(std::size_t bytes);

}  // namespace rw::detail
