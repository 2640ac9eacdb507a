#pragma once

#include <rewind/core/view.h>

namespace rw {

/// y += x, equal shapes, each element one addition. f32 or f64; x of the other type is converted first.
void add_into(ConstView x, View y);

/// Sums x over the axes along which y is stretched to x's shape. Throws Error unless y's shape broadcasts to x's.
/// The order of each sum depends on the shapes alone, not on how rows lie or on threads: runs of 32 additions, and the
/// runs in pairs, so that the error grows with the logarithm of the number of terms.
void sum_to(ConstView x, View y);

/// Sum of n contiguous elements: in blocks of 4096, each by sixteen sums side by side in runs of 32 additions that
/// meet in pairs; the blocks in pairs, in double.
template <class T>
double sum(const T* x, Index n);

}  // namespace rw
