#pragma once

#include <rewind/core/view.h>

namespace rw {

/// c = op(a) op(b), or c += op(a) op(b) when `accumulate`; op transposes when `ta` / `tb`. Matrices are views of rank 2
/// of one real dtype: op(a) is [m, k], op(b) is [k, n], c is [m, n] and overlaps neither. k == 0 makes zeros. The bits
/// depend on the shapes and numbers alone, not on the number of threads. Throws Error for other ranks or dtypes, or
/// shapes that do not fit, and where there is no memory for copies of parts of large operands, which leaves c
/// undefined.
///
/// Who makes a product depends on its shape and on the processor. With AVX2 or AVX-512, where not both operands are
/// transposed, those of one row or of little work (of m n k at most 2^18 for f32 and 2^23 for f64) run mostly in
/// kernels of our own: a row's bits then do not depend on the other rows, and accumulating has the bits of the product,
/// then the sum. Large ones of f64, and of f32 where it pays, are made block by block by other kernels of ours: an
/// element's bits depend on its row, its column and k alone, and where k is above 256, accumulating adds block after
/// block. oneDNN (f32) and Eigen (f64) make the rest, and promise neither. A product of one column runs as the
/// transposed one, of one row.
void gemm(ConstView a, bool ta, ConstView b, bool tb, View c, bool accumulate = false);

/// From now on products and convolutions have the same bits on every processor of one architecture: none by oneDNN,
/// whose kernels, and none by kernels of our own, whose vectors, are those of the instruction set, but all by Eigen, as
/// it is compiled for the oldest processor and for caches of a fixed size. That takes a multiple of the time. For the
/// whole program, before it compiles or trains anything: plans that were made before keep their kernels.
void set_portable_bits(bool on);
/// Whether it was set.
bool portable_bits();

/// The raw form, row-major, sizes and leading dimensions in elements; unchecked.
void gemm(bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb, float* c,
          Index ldc, bool accumulate);
void gemm(bool ta, bool tb, Index m, Index n, Index k, const double* a, Index lda, const double* b, Index ldb,
          double* c, Index ldc, bool accumulate);

}  // namespace rw
