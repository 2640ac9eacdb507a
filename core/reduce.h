#pragma once

#include <rewind/core/view.h>

namespace rw {

/// y += x, equal shapes, each element one addition. f32 or f64; x of the other type is converted first.
void add_into(ConstView x, View y);

/// Sums x over the axes along which y is stretched to x's shape. Throws Error unless y's shape broadcasts to x's.
/// The order of each sum depends on the shapes alone.
void sum_to(ConstView x, View y);

/// Sum of n contiguous elements: sixteen running sums over blocks of 4096, the blocks added in double.
template <class T>
double sum(const T* x, Index n);

}  // namespace rw
