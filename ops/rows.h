#pragma once

#include <algorithm>

#include <rewind/core/threads.h>

namespace rw::detail {

// Work on one contiguous row of n numbers, as vector code for this processor; T is float or double. The bits of a
// result depend on the row alone.

/// The largest and the smallest, no larger and no smaller than `start`; nan when there is one.
template <class T>
T row_max(const T* x, Index n, T start);
template <class T>
T row_min(const T* x, Index n, T start);

/// What softmax and its relatives need of a row: the largest, or 0 when that is not finite, and the sum of what is left
/// of exp when it has been taken off, so that nothing overflows.
template <class T>
struct RowExp {
  T shift;
  double total;  // sum of exp(x - shift)
};
/// With y = exp(x - shift), unless y is null; y must not overlap x.
template <class T>
RowExp<T> row_exp(const T* x, Index n, T* y);

/// y = x * factor, and y = (x - a) - b. y may be x.
template <class T>
void row_scale(const T* x, Index n, T factor, T* y);
template <class T>
void row_subtract(const T* x, Index n, T a, T b, T* y);

/// Calls f(row) for every row of `rows`, each of `cols` elements; many of them are shared among threads.
template <class F>
void for_each_row(Index rows, Index cols, F&& f) {
  constexpr Index elements = 16384;  // of a block: some ten microseconds of exp
  const Index per_block = std::max<Index>(1, elements / std::max<Index>(1, cols));
  parallel_for((rows + per_block - 1) / per_block, [&](Index block) {
    for (Index r = block * per_block; r < std::min(rows, (block + 1) * per_block); ++r) f(r);
  });
}

}  // namespace rw::detail
