#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include <Eigen/Core>
#ifdef REWIND_HAS_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

#include <rewind/core/error.h>
#include <rewind/core/gemm/blocked.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/one_openmp_thread.h>
#include <rewind/core/gemm/small.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

namespace rw {
namespace {

#ifdef REWIND_HAS_ONEDNN
void library_gemm(bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb,
                  float* c, Index ldc, bool accumulate) {
  const detail::OneOpenMpThread one;
  if (dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, accumulate ? 1.0f : 0.0f, c, ldc) !=
      dnnl_success) {
    throw Error("[gemm] oneDNN refused a product of " + std::to_string(m) + " x " + std::to_string(k) + " and " +
                std::to_string(k) + " x " + std::to_string(n));
  }
}
#endif

template <class T>
void eigen_gemm(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c,
                Index ldc, bool accumulate) {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  using In = Eigen::Map<const Matrix, 0, Stride>;
  const In A(a, ta ? k : m, ta ? m : k, Stride(lda));
  const In B(b, tb ? n : k, tb ? k : n, Stride(ldb));
  Eigen::Map<Matrix, 0, Stride> C(c, m, n, Stride(ldc));
  if (!accumulate) C.setZero();
  if (ta && tb) C.noalias() += A.transpose() * B.transpose();
  if (ta && !tb) C.noalias() += A.transpose() * B;
  if (!ta && tb) C.noalias() += A * B.transpose();
  if (!ta && !tb) C.noalias() += A * B;
}

template <class T>
void library_gemm(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c,
                  Index ldc, bool accumulate) {
  eigen_gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

std::atomic<bool> portable{false};

// How a large product is cut for threads: a function of the shape alone, and the same with one thread, because the
// library's bits depend on the shape that it is called with.
struct Cut {
  bool rows;     // or columns
  Index blocks;  // 1: not cut
  Index length;  // rows or columns a block, but the last
};

Cut cut(bool tb, Index m, Index n, Index k) {
  if (m == 1 && !tb && active_isa() != Isa::baseline &&
      !portable_bits()) {  // kernels of our own: the cut changes no bits
    if (n * k < (Index{1} << 19) || detail::runs_serially()) return {false, 1, n};
    const Index blocks = Index{4} * threads(), columns = (n / blocks + 64) / 64 * 64;
    return {false, (n + columns - 1) / columns, columns};
  }
  const Index work = m * n * k + 16 * (m * k + n * k + m * n);  // reading a number takes as long as 16 products, say
  constexpr Index worth = Index{1} << 22, most = 8;             // some 50 us
  const bool rows = m >= n;
  const Index length = rows ? m : n;
  Index blocks = 1;
  while (blocks < most && work >= 2 * blocks * worth) {
    const Index least = 128 * blocks;  // smaller ones cost one thread more than 5%
    if (length < 2 * blocks * least) break;
    blocks *= 2;
  }
  const Index rounded = ((length + blocks - 1) / blocks + 15) / 16 * 16;
  return {rows, (length + rounded - 1) / rounded, rounded};
}

template <class T>
void any_gemm(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c,
              Index ldc, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (Index i = 0; i < m && !accumulate; ++i) std::fill_n(c + i * ldc, n, T(0));
    return;
  }
  const bool may_be_large = m * n * k >= detail::least_blocked_work || (ta && tb);
  if (may_be_large && !portable_bits() && detail::suits_blocked_gemm<T>(ta, tb, m, n, k))
    return detail::blocked_gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
  const auto one = [=](Index i, Index rows, Index j, Index cols) {
    const T* ai = a + (ta ? i : i * lda);
    const T* bj = b + (tb ? j * ldb : j);
    T* cij = c + i * ldc + j;
    if (portable_bits()) return eigen_gemm(ta, tb, rows, cols, k, ai, lda, bj, ldb, cij, ldc, accumulate);
    if (detail::small_gemm(ta, tb, rows, cols, k, ai, lda, bj, ldb, cij, ldc, accumulate)) return;
    library_gemm(ta, tb, rows, cols, k, ai, lda, bj, ldb, cij, ldc, accumulate);
  };
  const Cut blocks = cut(tb, m, n, k);
  if (blocks.blocks <= 1) return one(0, m, 0, n);
  parallel_for(blocks.blocks, [&](Index block) {
    const Index start = block * blocks.length;
    if (blocks.rows) {
      one(start, std::min(blocks.length, m - start), 0, n);
    } else {
      one(0, m, start, std::min(blocks.length, n - start));
    }
  });
}

// The numbers of a column as a row: where they stand when they are neighbours, or else a copy in `room`.
template <class T>
const T* as_row(Index n, const T* column, Index stride, std::vector<T>& room) {
  if (stride == 1) return column;
  room.resize(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) room[static_cast<std::size_t>(i)] = column[i * stride];
  return room.data();
}

// (A b)' = b' A'.
template <class T>
void column_gemm(bool ta, bool tb, Index m, Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc,
                 bool accumulate) {
  thread_local std::vector<T> in, out;
  if (!tb) b = as_row(k, b, ldb, in);
  if (ldc == 1) return any_gemm(false, !ta, 1, m, k, b, k, a, lda, c, m, accumulate);
  out.resize(static_cast<std::size_t>(m));
  if (accumulate) as_row<T>(m, c, ldc, out);
  any_gemm(false, !ta, 1, m, k, b, k, a, lda, out.data(), m, accumulate);
  for (Index i = 0; i < m; ++i) c[i * ldc] = out[static_cast<std::size_t>(i)];
}

// Kernels work along rows: a column is the row of the transposed product, and the product of a column and a row reads a
// row that stands in one piece. The strides of columns change no bits: their numbers are copied.
template <class T>
void any_shape_gemm(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c,
                    Index ldc, bool accumulate) {
  if (n == 1 && m > 1 && k > 1) return column_gemm(ta, tb, m, k, a, lda, b, ldb, c, ldc, accumulate);
  if (k == 1 && tb && n > 1) {
    thread_local std::vector<T> row;
    return any_gemm(ta, false, m, n, k, a, lda, as_row(n, b, ldb, row), n, c, ldc, accumulate);
  }
  any_gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

}  // namespace

void set_portable_bits(bool on) {
  portable = on;
  // Eigen cuts the sums along k to fit the caches that it finds.
  if (on) Eigen::setCpuCacheSizes(Index{1} << 15, Index{1} << 18, Index{1} << 21);
}

bool portable_bits() { return portable.load(std::memory_order_relaxed); }

void gemm(bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb, float* c,
          Index ldc, bool accumulate) {
  any_shape_gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

void gemm(bool ta, bool tb, Index m, Index n, Index k, const double* a, Index lda, const double* b, Index ldb,
          double* c, Index ldc, bool accumulate) {
  any_shape_gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

void gemm(ConstView a, bool ta, ConstView b, bool tb, View c, bool accumulate) {
  const bool ranks = a.shape.rank() == 2 && b.shape.rank() == 2 && c.shape.rank() == 2;
  if (!ranks || a.shape[ta ? 0 : 1] != b.shape[tb ? 1 : 0] || c.shape[0] != a.shape[ta ? 1 : 0] ||
      c.shape[1] != b.shape[tb ? 0 : 1]) {
    throw Error("[gemm] shapes do not fit: " + a.shape.str() + (ta ? "' x " : " x ") + b.shape.str() +
                (tb ? "' -> " : " -> ") + c.shape.str());
  }
  if (a.dtype != b.dtype || a.dtype != c.dtype || !is_real(a.dtype)) {
    throw Error("[gemm] needs one real element type, got " + std::string(name_of(a.dtype)) + " x " +
                std::string(name_of(b.dtype)) + " -> " + std::string(name_of(c.dtype)));
  }
  visit_real(a.dtype, [&]<class T>() {
    gemm(ta, tb, c.shape[0], c.shape[1], a.shape[ta ? 0 : 1], a.as<T>(), a.stride, b.as<T>(), b.stride, c.as<T>(),
         c.stride, accumulate);
  });
}

}  // namespace rw
