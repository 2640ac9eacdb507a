#pragma once

// Internal to core/gemm/: use gemm.

#include <rewind/core/dtype.h>

namespace rw::detail {

/// c = op(a) op(b) (+ c) where calling a library would cost more than the product, or where its kernels do not suit:
/// few rows, or little work. Returns false, and does nothing, when the library is the better choice or the processor
/// has no AVX2. The choice depends on the shape alone. Accumulating has the bits of the product, then the sum.
bool small_gemm(bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb,
                float* c, Index ldc, bool accumulate);
bool small_gemm(bool ta, bool tb, Index m, Index n, Index k, const double* a, Index lda, const double* b, Index ldb,
                double* c, Index ldc, bool accumulate);

}  // namespace rw::detail
