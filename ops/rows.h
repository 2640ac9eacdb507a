#pragma once

#include <algorithm>

#include <rewind/core/threads.h>

namespace rw::detail {

// Work on one contiguous row of n numbers, with the processor's vector loops; T is float or double.

/// The largest and the smallest, no larger and no smaller than `start`; nan when there is one.
template <class T>
T row_max(const T* x, Index n, T start);
template <class T>
T row_min(const T* x, Index n, T start);

/// What to take off a row before exp, so that nothing overflows: the largest, or 0 when that is not finite.
template <class T>
T row_shift(const T* x, Index n);

/// y = exp(x - shift), and the sum of that. y may be x.
template <class T>
double row_exp(const T* x, Index n, T shift, T* y);

/// y = x * factor, and y = (x - a) - b. y may be x.
template <class T>
void row_scale(const T* x, Index n, T factor, T* y);
template <class T>
void row_subtract(const T* x, Index n, T a, T b, T* y);

/// log(sum(exp(x - shift))), in blocks that need no memory.
template <class T>
double row_log_sum_exp(const T* x, Index n, T shift);

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
