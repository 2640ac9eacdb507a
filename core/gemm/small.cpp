#include <rewind/core/gemm/small.h>
#include <rewind/core/vector_loop.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rw::detail {

#if defined(__x86_64__)

namespace {
constexpr Index near = 1 << 16;  // numbers that the caches near the processor hold
}

namespace avx512 {

#define REWIND_TARGET [[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]]

struct Floats {
  using T = float;
  using Register = __m512;
  using Mask = __mmask16;
  static constexpr Index width = 16;
  REWIND_TARGET static Mask mask(Index n) { return static_cast<Mask>((1u << n) - 1); }
  REWIND_TARGET static Register zero() { return _mm512_setzero_ps(); }
  REWIND_TARGET static Register repeat(T x) { return _mm512_set1_ps(x); }
  REWIND_TARGET static Register load(const T* p) { return _mm512_loadu_ps(p); }
  REWIND_TARGET static Register load(const T* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  REWIND_TARGET static void store(T* p, Register x) { _mm512_storeu_ps(p, x); }
  REWIND_TARGET static void store(T* p, Mask m, Register x) { _mm512_mask_storeu_ps(p, m, x); }
  REWIND_TARGET static Register add(Register x, Register y) { return _mm512_add_ps(x, y); }
  REWIND_TARGET static Register fma(Register x, Register y, Register z) { return _mm512_fmadd_ps(x, y, z); }
  REWIND_TARGET static __m128 quarter_sums(Register x) {
    const __m256 half =
        _mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xff, x, 0), _mm512_maskz_extractf32x8_ps(0xff, x, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  }
  REWIND_TARGET static void sum4(const Register* x, T* y) {
    const __m128 a = _mm_hadd_ps(quarter_sums(x[0]), quarter_sums(x[1]));
    const __m128 b = _mm_hadd_ps(quarter_sums(x[2]), quarter_sums(x[3]));
    _mm_storeu_ps(y, _mm_hadd_ps(a, b));
  }
};

struct Doubles {
  using T = double;
  using Register = __m512d;
  using Mask = __mmask8;
  static constexpr Index width = 8;
  REWIND_TARGET static Mask mask(Index n) { return static_cast<Mask>((1u << n) - 1); }
  REWIND_TARGET static Register zero() { return _mm512_setzero_pd(); }
  REWIND_TARGET static Register repeat(T x) { return _mm512_set1_pd(x); }
  REWIND_TARGET static Register load(const T* p) { return _mm512_loadu_pd(p); }
  REWIND_TARGET static Register load(const T* p, Mask m) { return _mm512_maskz_loadu_pd(m, p); }
  REWIND_TARGET static void store(T* p, Register x) { _mm512_storeu_pd(p, x); }
  REWIND_TARGET static void store(T* p, Mask m, Register x) { _mm512_mask_storeu_pd(p, m, x); }
  REWIND_TARGET static Register add(Register x, Register y) { return _mm512_add_pd(x, y); }
  REWIND_TARGET static Register fma(Register x, Register y, Register z) { return _mm512_fmadd_pd(x, y, z); }
  REWIND_TARGET static __m256d half_sums(Register x) {
    return _mm256_add_pd(_mm512_maskz_extractf64x4_pd(0xf, x, 0), _mm512_maskz_extractf64x4_pd(0xf, x, 1));
  }
  REWIND_TARGET static void sum4(const Register* x, T* y) {
    const __m256d a = _mm256_hadd_pd(half_sums(x[0]), half_sums(x[1]));
    const __m256d b = _mm256_hadd_pd(half_sums(x[2]), half_sums(x[3]));
    _mm_storeu_pd(y, _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1)));
    _mm_storeu_pd(y + 2, _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1)));
  }
};

#include <rewind/core/gemm/tiles.inc>

#undef REWIND_TARGET

}  // namespace avx512

namespace avx2 {

#define REWIND_TARGET [[gnu::target("avx2,fma")]]

struct Floats {
  using T = float;
  using Register = __m256;
  using Mask = __m256i;
  static constexpr Index width = 8;
  REWIND_TARGET static Mask mask(Index n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  REWIND_TARGET static Register zero() { return _mm256_setzero_ps(); }
  REWIND_TARGET static Register repeat(T x) { return _mm256_set1_ps(x); }
  REWIND_TARGET static Register load(const T* p) { return _mm256_loadu_ps(p); }
  REWIND_TARGET static Register load(const T* p, Mask m) { return _mm256_maskload_ps(p, m); }
  REWIND_TARGET static void store(T* p, Register x) { _mm256_storeu_ps(p, x); }
  REWIND_TARGET static void store(T* p, Mask m, Register x) { _mm256_maskstore_ps(p, m, x); }
  REWIND_TARGET static Register add(Register x, Register y) { return _mm256_add_ps(x, y); }
  REWIND_TARGET static Register fma(Register x, Register y, Register z) { return _mm256_fmadd_ps(x, y, z); }
  REWIND_TARGET static __m128 half_sums(Register x) {
    return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  }
  REWIND_TARGET static void sum4(const Register* x, T* y) {
    const __m128 a = _mm_hadd_ps(half_sums(x[0]), half_sums(x[1]));
    const __m128 b = _mm_hadd_ps(half_sums(x[2]), half_sums(x[3]));
    _mm_storeu_ps(y, _mm_hadd_ps(a, b));
  }
};

struct Doubles {
  using T = double;
  using Register = __m256d;
  using Mask = __m256i;
  static constexpr Index width = 4;
  REWIND_TARGET static Mask mask(Index n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  REWIND_TARGET static Register zero() { return _mm256_setzero_pd(); }
  REWIND_TARGET static Register repeat(T x) { return _mm256_set1_pd(x); }
  REWIND_TARGET static Register load(const T* p) { return _mm256_loadu_pd(p); }
  REWIND_TARGET static Register load(const T* p, Mask m) { return _mm256_maskload_pd(p, m); }
  REWIND_TARGET static void store(T* p, Register x) { _mm256_storeu_pd(p, x); }
  REWIND_TARGET static void store(T* p, Mask m, Register x) { _mm256_maskstore_pd(p, m, x); }
  REWIND_TARGET static Register add(Register x, Register y) { return _mm256_add_pd(x, y); }
  REWIND_TARGET static Register fma(Register x, Register y, Register z) { return _mm256_fmadd_pd(x, y, z); }
  REWIND_TARGET static void sum4(const Register* x, T* y) {
    const __m256d a = _mm256_hadd_pd(x[0], x[1]), b = _mm256_hadd_pd(x[2], x[3]);
    _mm_storeu_pd(y, _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1)));
    _mm_storeu_pd(y + 2, _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1)));
  }
};

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
