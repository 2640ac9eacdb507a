#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include <rewind/core/gemm_packed.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rw::detail {

#if defined(__x86_64__)

#define REWIND_TARGET [[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]]

namespace {

constexpr Index width = 32;            // columns of a panel: two vectors
constexpr Index depth = 256;           // of k at a time: a panel of it fits the first-level cache
constexpr Index most_rows = 14;        // of a tile: 28 sums, two vectors of b and one of a
constexpr Index row_gap = depth + 16;  // between the rows of a copied tile: they fall into different cache sets
constexpr Index tiles_at_once = 24;    // of a, kept in the second-level cache

/// Memory of one thread, grown and never given back.
class Room {
 public:
  float* floats(Index n) {
    if (n > size_) {
      data_.reset(static_cast<float*>(std::aligned_alloc(64, static_cast<std::size_t>((n + 15) / 16 * 64))));
      size_ = n;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  Index size_ = 0;
};

// c [rows, 32] (+)= a b over `k` steps. a(i, p) is at a[i * gap + p] or, by columns, at a[p * most_rows + i]; b is a
// panel. Lanes outside the masks are neither read nor written.
template <int rows, bool by_columns>
REWIND_TARGET void tile(Index k, const float* a, const float* b, float* c, Index ldc, __mmask16 left, __mmask16 right,
                        bool accumulate, const float* next) {
  constexpr Index ai = by_columns ? 1 : row_gap, ap = by_columns ? most_rows : 1;
  __m512 sum[rows][2];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    _mm_prefetch(reinterpret_cast<const char*>(c + i * ldc), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(c + i * ldc + 16), _MM_HINT_T0);
  }
#pragma GCC unroll 1
  for (Index p = 0; p < k; ++p, a += ap, b += width) {
    _mm_prefetch(reinterpret_cast<const char*>(next + p * 16), _MM_HINT_T1);
    const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const __m512 x = _mm512_set1_ps(a[i * ai]);
      sum[i][0] = _mm512_fmadd_ps(x, b0, sum[i][0]);
      sum[i][1] = _mm512_fmadd_ps(x, b1, sum[i][1]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i, c += ldc) {
    if (accumulate) {
      sum[i][0] = _mm512_add_ps(_mm512_maskz_loadu_ps(left, c), sum[i][0]);
      sum[i][1] = _mm512_add_ps(_mm512_maskz_loadu_ps(right, c + 16), sum[i][1]);
    }
    _mm512_mask_storeu_ps(c, left, sum[i][0]);
    _mm512_mask_storeu_ps(c + 16, right, sum[i][1]);
  }
}

using Tile = void (*)(Index, const float*, const float*, float*, Index, __mmask16, __mmask16, bool, const float*);
template <bool by_columns, int... I>
constexpr std::array<Tile, most_rows + 1> tiles_of(std::integer_sequence<int, I...>) {
  return {nullptr, tile<I + 1, by_columns>...};
}
constexpr auto row_tiles = tiles_of<false>(std::make_integer_sequence<int, most_rows>());
constexpr auto column_tiles = tiles_of<true>(std::make_integer_sequence<int, most_rows>());

// Rows are shared evenly among tiles.
struct Split {
  Index tiles, rows;
  Index begin(Index t) const { return rows * t / tiles; }
};
Split split(Index m) { return {(m + most_rows - 1) / most_rows, m}; }

// Copies a tile of a, so that its rows neither fall into the same cache sets nor need pages of their own.
void copy_rows(const float* a, Index lda, Index rows, Index k, float* to) {
  for (Index i = 0; i < rows; ++i) std::copy_n(a + i * lda, k, to + i * row_gap);
}
REWIND_TARGET void copy_columns(const float* a, Index lda, Index rows, Index k, float* to) {
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  for (Index p = 0; p < k; ++p, a += lda, to += most_rows)
    _mm512_mask_storeu_ps(to, mask, _mm512_maskz_loadu_ps(mask, a));
}

REWIND_TARGET void pack_panel(Index k, Index cols, const float* b, Index ldb, float* to) {
  const auto left = static_cast<__mmask16>((1u << std::min<Index>(cols, 16)) - 1);
  const auto right = static_cast<__mmask16>((1u << std::max<Index>(cols - 16, 0)) - 1);
  for (Index p = 0; p < k; ++p, b += ldb, to += width) {
    _mm512_store_ps(to, _mm512_maskz_loadu_ps(left, b));
    _mm512_store_ps(to + 16, _mm512_maskz_loadu_ps(right, b + 16));
  }
}

// The panel of rows of b: 16 x 16 blocks are turned.
REWIND_TARGET void pack_turned(Index k, Index cols, const float* b, Index ldb, float* to) {
  for (Index j = 0; j < width; j += 16) {
    const Index rows = std::clamp<Index>(cols - j, 0, 16);
    for (Index p = 0; p < k; p += 16) {
      const Index n = std::min<Index>(16, k - p);
      alignas(64) float block[16][16];
      for (Index i = 0; i < 16; ++i)
        for (Index q = 0; q < 16; ++q) block[q][i] = i < rows && q < n ? b[(j + i) * ldb + p + q] : 0.0f;
      for (Index q = 0; q < n; ++q) _mm512_store_ps(to + (p + q) * width + j, _mm512_load_ps(block[q]));
    }
  }
}

void pack_one(bool tb, Index k, Index cols, const float* b, Index ldb, float* to) {
  if (tb)
    pack_turned(k, cols, b, ldb, to);
  else
    pack_panel(k, cols, b, ldb, to);
}

/// Some rows of a result over `k` steps: `panel(j)` is the packed panel j, its rows from `p` on.
template <class Panel>
void block(bool ta, Index m, Index n, Index k, const float* a, Index lda, const Panel& panel, float* c, Index ldc,
           bool accumulate) {
  thread_local Room room;
  const Split s = split(m);
  constexpr Index tile_size = most_rows * row_gap;
  for (Index t0 = 0; t0 < s.tiles; t0 += tiles_at_once) {
    const Index t1 = std::min(s.tiles, t0 + tiles_at_once);
    float* copies = room.floats((t1 - t0) * tile_size);
    for (Index t = t0; t < t1; ++t) {
      const Index i = s.begin(t), rows = s.begin(t + 1) - i;
      float* to = copies + (t - t0) * tile_size;
      if (ta)
        copy_columns(a + i, lda, rows, k, to);
      else
        copy_rows(a + i * lda, lda, rows, k, to);
    }
    for (Index j = 0; j < n; j += width) {
      const float* b = panel(j / width);
      const Index cols = std::min(width, n - j);
      const auto left = static_cast<__mmask16>((1u << std::min<Index>(cols, 16)) - 1);
      const auto right = static_cast<__mmask16>((1u << std::max<Index>(cols - 16, 0)) - 1);
      // Each tile fetches a share of the panel that comes next.
      const float* ahead = panel(j + width < n ? j / width + 1 : j / width);
      const Index share = k * width / (t1 - t0) / 16 * 16;
      for (Index t = t0; t < t1; ++t) {
        const Index i = s.begin(t), rows = s.begin(t + 1) - i;
        const auto run = (ta ? column_tiles : row_tiles)[static_cast<std::size_t>(rows)];
        run(k, copies + (t - t0) * tile_size, b, c + i * ldc + j, ldc, left, right, accumulate,
            ahead + (t - t0) * share);
      }
    }
  }
}

Index panels(Index n) { return (n + width - 1) / width; }

// Columns for one thread: enough to be worth it. Each part copies a, so there are few; but a thread that wakes late
// wants a small share.
Index columns_each(Index m, Index n, Index k) {
  const bool awake = helpers_are_awake();
  const Index worth = Index{1} << (awake ? 20 : 23);
  const Index pieces = std::clamp<Index>(m * n * k / worth, 1, awake ? threads() : 8);
  return (panels(n) + pieces - 1) / pieces * width;
}

}  // namespace

bool has_packed_gemm() {
  static const bool has = active_isa() == Isa::avx512;
  return has;
}

bool suits_packed_gemm(bool tb, Index m, Index n, Index k) {
  if (!has_packed_gemm() || m < 4 || m > 192 || n < 16 || k < 16) return false;
  return tb || m * n * k > (Index{1} << 18);  // small ones have kernels that need no packing
}

Index packed_size(Index k, Index n) { return panels(n) * width * k; }

void pack(bool tb, Index k, Index n, const float* b, Index ldb, float* packed) {
  const Index whole = panels(n) * width;
  const Index each = std::max<Index>(1, (Index{1} << 16) / (k * width));
  parallel_for((panels(n) + each - 1) / each, [&](Index part) {
    for (Index j = part * each; j < std::min(panels(n), (part + 1) * each); ++j)
      for (Index p = 0; p < k; p += depth) {
        const Index steps = std::min(depth, k - p), cols = std::min(width, n - j * width);
        const float* from = tb ? b + j * width * ldb + p : b + p * ldb + j * width;
        pack_one(tb, steps, cols, from, ldb, packed + p * whole + j * width * steps);
      }
  });
}

void packed_gemm(bool ta, Index m, Index n, Index k, const float* a, Index lda, const float* packed, float* c,
                 Index ldc, bool accumulate) {
  const Index each = columns_each(m, n, k), whole = panels(n) * width;
  parallel_for((n + each - 1) / each, [&](Index part) {
    const Index j = part * each, cols = std::min(each, n - j);
    for (Index p = 0; p < k; p += depth) {
      const Index steps = std::min(depth, k - p);
      const float* b = packed + p * whole + j * steps;
      block(
          ta, m, cols, steps, a + (ta ? p * lda : p), lda, [&](Index q) { return b + q * width * steps; }, c + j, ldc,
          accumulate || p > 0);
    }
  });
}

#undef REWIND_TARGET

#else

bool has_packed_gemm() { return false; }
bool suits_packed_gemm(bool, Index, Index, Index) { return false; }
Index packed_size(Index, Index) { return 0; }
void pack(bool, Index, Index, const float*, Index, float*) {}
void packed_gemm(bool, Index, Index, Index, const float*, Index, const float*, float*, Index, bool) {}

#endif

}  // namespace rw::detail
