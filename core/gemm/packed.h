#pragma once

// Internal to core/gemm/ and the compiler.

#include <rewind/core/dtype.h>

namespace rw::detail {

// Products of our own for f32, AVX2 and AVX-512, over a second operand whose columns were packed into panels. Every
// element is summed along k in blocks of a fixed length, so its bits depend on its row, its column and k alone: rows
// may be stacked and columns be split among threads.

/// Whether this processor has them.
bool has_packed_gemm();
/// Whether they are faster than `gemm` for a product whose op(b) is packed already: few rows, `most_rows` at most.
bool suits_packed_gemm(bool tb, Index m, Index n, Index k, Index most_rows = 192);

/// Floats that a packed op(b) [k, n] takes.
Index packed_size(Index k, Index n);
/// Packs op(b), n and k 1 or more; `packed` is aligned to 64 bytes.
void pack(bool tb, Index k, Index n, const float* b, Index ldb, float* packed);
/// c = op(a) b, or c += op(a) b; m, n and k are 1 or more. Uses up to `threads()` threads, each for `share_from`
/// multiplications or more (8 times as many where helpers sleep).
void packed_gemm(bool ta, Index m, Index n, Index k, const float* a, Index lda, const float* packed, float* c,
                 Index ldc, bool accumulate, Index share_from = Index{1} << 20);

}  // namespace rw::detail
