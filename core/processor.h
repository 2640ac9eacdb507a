#pragma once

#include <cstddef>
#include <string>

namespace rw {

/// What the system says of the processor that this program runs on.
struct Processor {
  /// Its make and stepping, the instruction set that loops use (see active_isa), and the number of cores that this
  /// process may use, in one line: what was measured on one processor is told by it from what was on another.
  std::string name;
  int cores = 1;
  /// Bytes of a core's caches for data, the one next to it and the one behind that; where the system does not say,
  /// those of the processor on which the library was tuned first.
  std::size_t first_cache = std::size_t{48} << 10, second_cache = std::size_t{2} << 20;
};

/// Looked up once.
const Processor& this_processor();

}  // namespace rw
