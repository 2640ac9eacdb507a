#include <algorithm>

#include <rewind/core/gemm/packed.h>
#include <rewind/core/gemm/panels.h>
#include <rewind/core/threads.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rw::detail {

#if defined(__x86_64__)

namespace {

REWIND_TARGET_PANELS void pack_panel(Index k, Index cols, const float* b, Index ldb, float* to) {
  const auto left = static_cast<__mmask16>((1u << std::min<Index>(cols, 16)) - 1);
  const auto right = static_cast<__mmask16>((1u << std::max<Index>(cols - 16, 0)) - 1);
  for (Index p = 0; p < k; ++p, b += ldb, to += panel_width) {
    _mm512_store_ps(to, _mm512_maskz_loadu_ps(left, b));
    _mm512_store_ps(to + 16, _mm512_maskz_loadu_ps(right, b + 16));
  }
}

// Rows become columns: pairs of numbers, then fours, then quarters of a vector, of four rows each. With masks, since
// g++ 12 warns of the plain forms.
REWIND_TARGET_PANELS inline void turn(__m512 (&x)[16]) {
  __m512 pairs[16], fours[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_maskz_unpacklo_ps(0xffff, x[i], x[i + 1]);
    pairs[i + 1] = _mm512_maskz_unpackhi_ps(0xffff, x[i], x[i + 1]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 16; ++i) {
    const __m512d a = _mm512_castps_pd(pairs[i / 4 * 4 + i % 4 / 2]),
                  b = _mm512_castps_pd(pairs[i / 4 * 4 + i % 4 / 2 + 2]);
    fours[i] =
        _mm512_castpd_ps(i % 2 == 0 ? _mm512_maskz_unpacklo_pd(0xff, a, b) : _mm512_maskz_unpackhi_pd(0xff, a, b));
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 a = fours[j], b = fours[4 + j], c = fours[8 + j], d = fours[12 + j];
    const __m512 even_ab = _mm512_maskz_shuffle_f32x4(0xffff, a, b, 0x88);
    const __m512 even_cd = _mm512_maskz_shuffle_f32x4(0xffff, c, d, 0x88);
    const __m512 odd_ab = _mm512_maskz_shuffle_f32x4(0xffff, a, b, 0xdd);
    const __m512 odd_cd = _mm512_maskz_shuffle_f32x4(0xffff, c, d, 0xdd);
    x[j] = _mm512_maskz_shuffle_f32x4(0xffff, even_ab, even_cd, 0x88);
    x[4 + j] = _mm512_maskz_shuffle_f32x4(0xffff, odd_ab, odd_cd, 0x88);
    x[8 + j] = _mm512_maskz_shuffle_f32x4(0xffff, even_ab, even_cd, 0xdd);
    x[12 + j] = _mm512_maskz_shuffle_f32x4(0xffff, odd_ab, odd_cd, 0xdd);
  }
}

// The panel of rows of b: 16 x 16 blocks are turned.
REWIND_TARGET_PANELS void pack_turned(Index k, Index cols, const float* b, Index ldb, float* to) {
  for (Index p = 0; p < k; p += 16) {
    const Index n = std::min<Index>(16, k - p);
    const auto mask = static_cast<__mmask16>((1u << n) - 1);
    for (Index j = 0; j < panel_width; j += 16) {
      __m512 block[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        block[i] = j + i < cols ? _mm512_maskz_loadu_ps(mask, b + (j + i) * ldb + p) : _mm512_setzero_ps();
      turn(block);
#pragma GCC unroll 16
      for (int q = 0; q < 16; ++q)
        if (q < n) _mm512_store_ps(to + (p + q) * panel_width + j, block[q]);
    }
  }
}

void pack_one(bool tb, Index k, Index cols, const float* b, Index ldb, float* to) {
  if (tb)
    pack_turned(k, cols, b, ldb, to);
  else
    pack_panel(k, cols, b, ldb, to);
}

}  // namespace

Index packed_size(Index k, Index n) { return panels(n) * panel_width * k; }

void pack(bool tb, Index k, Index n, const float* b, Index ldb, float* packed) {
  const Index whole = panels(n) * panel_width;
  const Index each = std::max<Index>(1, (Index{1} << 16) / (k * panel_width));
  parallel_for((panels(n) + each - 1) / each, [&](Index part) {
    for (Index j = part * each; j < std::min(panels(n), (part + 1) * each); ++j)
      for (Index p = 0; p < k; p += panel_depth) {
        const Index steps = std::min(panel_depth, k - p), cols = std::min(panel_width, n - j * panel_width);
        const float* from = tb ? b + j * panel_width * ldb + p : b + p * ldb + j * panel_width;
        pack_one(tb, steps, cols, from, ldb, packed + p * whole + j * panel_width * steps);
      }
  });
}

#else

Index packed_size(Index, Index) { return 0; }
void pack(bool, Index, Index, const float*, Index, float*) {}

#endif

}  // namespace rw::detail
