#pragma once

#include <rewind/core/dtype.h>

#if defined(__x86_64__)
#include <immintrin.h>

// The vectors of which the kernels of core/gemm/ are made, for each instruction set. Internal to core/gemm/.

#define REWIND_TARGET_GEMM_AVX512 [[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]]
#define REWIND_TARGET_GEMM_AVX2 [[gnu::target("avx2,fma")]]

namespace rw::detail {

namespace avx512 {

#define REWIND_TARGET REWIND_TARGET_GEMM_AVX512

// 32 registers.
inline constexpr int most_vectors = 4;  // of a tile of four rows, that its sums stay in registers
inline constexpr int most_dots = 4;     // rows of a tile of dot products, for the same reason

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

#undef REWIND_TARGET

}  // namespace avx512

namespace avx2 {

#define REWIND_TARGET REWIND_TARGET_GEMM_AVX2

// 16 registers.
inline constexpr int most_vectors = 3;  // of a tile of four rows, that its sums stay in registers
inline constexpr int most_dots = 3;     // rows of a tile of dot products, for the same reason

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

#undef REWIND_TARGET

}  // namespace avx2

}  // namespace rw::detail

#endif
