#pragma once

#include <rewind/core/dtype.h>

// Internal to core/gemm/: use gemm.

namespace rw::detail {

/// What is smaller, by m n k, need not ask, but where both operands are transposed.
inline constexpr Index least_blocked_work = Index{1} << 18;

/// Whether `blocked_gemm` is the best choice for large products of this type on this processor: see gemm.
template <class T>
bool suits_blocked_gemm(bool ta, bool tb, Index m, Index n, Index k);

/// c = op(a) op(b), or c += op(a) op(b), with the kernels of panels.h, over blocks that are copied into cache one after
/// another; m, n and k are 1 or more. Every element is summed along k in blocks of a fixed length, so its bits depend
/// on its row, its column and k alone, and rows or columns are shared among threads as suits.
template <class T>
void blocked_gemm(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c,
                  Index ldc, bool accumulate);

}  // namespace rw::detail
