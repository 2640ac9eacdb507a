#pragma once

#include <stdexcept>
#include <string>

namespace rw {

/// Every error that Rewind reports: a shape that does not fit, a stale handle, a file that cannot be read.
/// `what()` is one line that names the op, the shapes, the scope and the way out.
class Error : public std::runtime_error {
 public:
  /// An error with this message.
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace rw
