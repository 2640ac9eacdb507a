#include <rewind/core/gemm/small.h>
#include <rewind/core/gemm/vectors.h>
#include <rewind/core/vector_loop.h>

namespace rw::detail {

#if defined(__x86_64__)

namespace {
constexpr Index near = 1 << 16;  // numbers that the caches near the processor hold
}

namespace avx512 {
#define REWIND_TARGET REWIND_TARGET_GEMM_AVX512
#include <rewind/core/gemm/tiles.inc>
#undef REWIND_TARGET
}  // namespace avx512

namespace avx2 {
#define REWIND_TARGET REWIND_TARGET_GEMM_AVX2
#include <rewind/core/gemm/tiles.inc>
#undef REWIND_TARGET
}  // namespace avx2

#endif

namespace {

// Where the kernels above were faster than the library, in products of two numbers: measured with AVX-512 against
// oneDNN 2.6 (f32) and Eigen 3.4 compiled for the baseline (f64). Rows as dot products want long rows.
bool suits(bool ta, bool tb, Index m, Index n, Index k, float) {
  if (ta && tb) return false;
  const Index work = m * n * k;
  if (!tb) return m == 1 || work <= (Index{1} << 18);
  return work <= (k < 32 ? Index{1} << 12 : m == 1 ? Index{1} << 15 : Index{1} << 18);
}
bool suits(bool ta, bool tb, Index m, Index n, Index k, double) {
  if (ta && tb) return false;
  if (m == 1 && tb && n * k > (Index{1} << 19)) return false;
  return !tb || k >= 16 || m * n * k <= (Index{1} << 12);
}

#if defined(__x86_64__)
template <class T>
using Avx512 = std::conditional_t<std::is_same_v<T, float>, avx512::Floats, avx512::Doubles>;
template <class T>
using Avx2 = std::conditional_t<std::is_same_v<T, float>, avx2::Floats, avx2::Doubles>;

template <class T>
bool run(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc,
         bool accumulate) {
  switch (active_isa()) {
    case Isa::avx512:
      avx512::small_product<Avx512<T>>(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
      return true;
    case Isa::avx2: avx2::small_product<Avx2<T>>(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate); return true;
    default: return false;
  }
}
#else
template <class T>
bool run(bool, bool, Index, Index, Index, const T*, Index, const T*, Index, T*, Index, bool) {
  return false;
}
#endif

}  // namespace

bool small_gemm(bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb,
                float* c, Index ldc, bool accumulate) {
  return suits(ta, tb, m, n, k, 0.0f) && run(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

bool small_gemm(bool ta, bool tb, Index m, Index n, Index k, const double* a, Index lda, const double* b, Index ldb,
                double* c, Index ldc, bool accumulate) {
  return suits(ta, tb, m, n, k, 0.0) && run(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

}  // namespace rw::detail
