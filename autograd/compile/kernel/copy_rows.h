#pragma once

#include <cstddef>

#include <rewind/core/dtype.h>

namespace rw::ir {

/// Copies for kernels, for this processor. (A memcpy a row takes longer than many a kernel's instruction.)
struct RowCopies {
  /// Rows of any distance from each other; a distance of 0 repeats one row.
  void (*rows)(Index rows, Index bytes, const std::byte* from, Index from_step, std::byte* to, Index to_step);
  /// Few elements, and zeros up to the end of their last vector.
  void (*fill)(Index bytes, const std::byte* from, std::byte* to);
};
extern const RowCopies row_copies;

}  // namespace rw::ir
