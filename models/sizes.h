#pragma once

// Internal to models/.

#include <string>

#include <rewind/core/dtype.h>
#include <rewind/core/error.h>

namespace rw::detail {

/// `size` when it is at least 1; otherwise throws Error: "lstm: hidden size must be at least 1, not 0".
inline Index checked_size(const char* module, const char* what, Index size) {
  if (size < 1)
    throw Error(std::string(module) + ": " + what + " size must be at least 1, not " + std::to_string(size));
  return size;
}

}  // namespace rw::detail
