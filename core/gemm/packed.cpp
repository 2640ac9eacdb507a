#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/packed.h>
#include <rewind/core/gemm/panels.h>
#include <rewind/core/memory.h>
#include <rewind/core/processor.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rw::detail {

#if defined(__x86_64__)

namespace {

constexpr Index most_rows = 14;              // of a tile: 28 sums, two vectors of b and one of a
constexpr Index row_gap = panel_depth + 16;  // between the rows of a copied tile: they fall into different cache sets

/// Memory of one thread, grown and never given back.
class Room {
 public:
  float* floats(Index n) {
    if (n > size_) {
      size_ = 0;
      data_.reset(static_cast<float*>(allocate_vectors(static_cast<std::size_t>(n) * sizeof(float))));
      if (data_ == nullptr) throw Error("[gemm] no memory to copy a part of a matrix into");
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

// What a tile brings near for those after it, little by little: were it all asked for at once, the tile would wait.
struct Ahead {
  const float* numbers;  // a line a step, into the second-level cache
  const float* c;        // the next tile's
  const float* piece;    // 256 numbers
};

// sum += the products of column 0 of a and row 0 of b.
template <int rows, Index ai>
REWIND_TARGET_PANELS inline __attribute__((always_inline)) void add_step(__m512 (&sum)[rows][2], const float* a,
                                                                         const float* b) {
  const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    const __m512 x = _mm512_set1_ps(a[i * ai]);
    sum[i][0] = _mm512_fmadd_ps(x, b0, sum[i][0]);
    sum[i][1] = _mm512_fmadd_ps(x, b1, sum[i][1]);
  }
}

// c [rows, 32] (+)= a b over `k` steps. a(i, p) is at a[i * row_gap + p] or, by columns, at a[p * most_rows + i]; b is
// a panel. Elements outside the masks are neither read nor written.
template <int rows, bool by_columns>
REWIND_TARGET_PANELS void tile(Index k, const float* a, const float* b, float* c, Index ldc, __mmask16 left,
                               __mmask16 right, bool accumulate, Ahead ahead) {
  constexpr Index ai = by_columns ? 1 : row_gap, ap = by_columns ? most_rows : 1, steps = 16;
  __m512 sum[rows][2];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
  Index p = 0;
#pragma GCC unroll 1
  for (int row = 0; p + steps <= k; ++row) {
    _mm_prefetch(reinterpret_cast<const char*>(ahead.piece + Index{row} * 16), _MM_HINT_T1);
    if (row < rows) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead.c + row * ldc), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(ahead.c + row * ldc + 16), _MM_HINT_T0);
    }
#pragma GCC unroll 1
    for (const Index end = p + steps; p < end; ++p, a += ap, b += panel_width) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead.numbers + p * 16), _MM_HINT_T1);
      add_step<rows, ai>(sum, a, b);
    }
  }
#pragma GCC unroll 1
  for (; p < k; ++p, a += ap, b += panel_width) add_step<rows, ai>(sum, a, b);
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

using Tile = void (*)(Index, const float*, const float*, float*, Index, __mmask16, __mmask16, bool, Ahead);
template <bool by_columns, int... I>
constexpr std::array<Tile, most_rows + 1> tiles_of(std::integer_sequence<int, I...>) {
  return {nullptr, tile<I + 1, by_columns>...};
}
constexpr auto row_tiles = tiles_of<false>(std::make_integer_sequence<int, most_rows>());
constexpr auto column_tiles = tiles_of<true>(std::make_integer_sequence<int, most_rows>());

// Rows are shared evenly among tiles.
class Split {
 public:
  explicit Split(Index m) : tiles((m + most_rows - 1) / most_rows), each_(m / tiles), longer_(m % tiles) {}
  Index begin(Index t) const { return t * each_ + std::min(t, longer_); }
  Index rows(Index t) const { return each_ + (t < longer_ ? 1 : 0); }
  const Index tiles;

 private:
  Index each_, longer_;
};

constexpr Index tile_size = most_rows * row_gap;

// Tiles of a that are kept in the second-level cache: half of it, and no more than were of use. Changes no bits.
Index tiles_at_once() {
  static const Index tiles =
      std::clamp<Index>(static_cast<Index>(this_processor().second_cache / 2 / (tile_size * sizeof(float))), 4, 24);
  return tiles;
}

// Copies tiles [begin, end) of a, so that their rows neither fall into the same cache sets nor need pages of their own.
void copy_rows(const Split& s, Index begin, Index end, Index k, const float* a, Index lda, float* to) {
  for (Index t = begin; t < end; ++t, to += tile_size)
    for (Index i = 0; i < s.rows(t); ++i) std::copy_n(a + (s.begin(t) + i) * lda, k, to + i * row_gap);
}
REWIND_TARGET_PANELS void copy_columns(const Split& s, Index begin, Index end, Index k, const float* a, Index lda,
                                       float* to) {
  for (Index p = 0; p < k; ++p, a += lda, to += most_rows) {
    float* tile = to;
    for (Index t = begin; t < end; ++t, tile += tile_size) {
      const auto mask = static_cast<__mmask16>((1u << s.rows(t)) - 1);
      _mm512_mask_storeu_ps(tile, mask, _mm512_maskz_loadu_ps(mask, a + s.begin(t)));
    }
  }
}

// Pieces of a matrix, from row to row.
class Pieces {
 public:
  static constexpr Index length = 256;
  Pieces(const float* at, Index ld, Index rows, Index cols)
      : at_(at), ld_(ld), rows_(rows), each_((cols + length - 1) / length) {}
  const float* next() {
    if (rows_ == 0) return at_;
    const float* piece = at_ + column_ * length;
    if (++column_ < each_) return piece;
    column_ = 0;
    if (--rows_ > 0) at_ += ld_;
    return piece;
  }

 private:
  const float* at_;
  Index ld_, rows_, each_, column_ = 0;
};

// Some tiles of a result, over `k` steps. `panel(j)` is the packed panel j of b, which comes from beyond the
// second-level cache when it is `far`. `between` is called before each tile and gives a piece to bring near.
struct Tiles {
  const Split& rows;
  Index begin, end;
  bool by_columns;
  const float* copies;
  template <class Panel, class Between>
  void multiply(Index n, Index k, const Panel& panel, bool far, float* c, Index ldc, bool accumulate,
                Between&& between) const {
    for (Index j = 0; j < n; j += panel_width) {
      const float* b = panel(j / panel_width);
      const Index cols = std::min(panel_width, n - j);
      const auto left = static_cast<__mmask16>((1u << std::min<Index>(cols, 16)) - 1);
      const auto right = static_cast<__mmask16>((1u << std::max<Index>(cols - 16, 0)) - 1);
      // Each tile fetches a share of the panel that comes next, or the next tile of a.
      const float* next = panel(j + panel_width < n ? j / panel_width + 1 : j / panel_width);
      const Index share = k * panel_width / (end - begin) / 16 * 16;
      for (Index t = begin; t < end; ++t) {
        const float* a = copies + (t - begin) * tile_size;
        const bool last = t + 1 == end;
        const float* near = last ? copies : a + tile_size;
        const Ahead ahead{far ? next + (t - begin) * share : near,
                          c + (last ? rows.begin(begin) * ldc + j + panel_width : rows.begin(t + 1) * ldc + j),
                          between()};
        const auto run = (by_columns ? column_tiles : row_tiles)[static_cast<std::size_t>(rows.rows(t))];
        run(k, a, b, c + rows.begin(t) * ldc + j, ldc, left, right, accumulate, ahead);
      }
    }
  }
};

// Columns for one thread: enough to be worth it. Each part copies a, so there are few; but a thread that wakes late
// wants a small share.
Index columns_each(Index m, Index n, Index k, Index share_from) {
  if (runs_serially()) return panels(n) * panel_width;
  const bool awake = helpers_are_awake();
  const Index worth = awake ? share_from : 8 * share_from;
  const Index pieces = std::clamp<Index>(m * n * k / worth, 1, awake ? threads() : 8);
  return (panels(n) + pieces - 1) / pieces * panel_width;
}

}  // namespace

bool has_packed_gemm() {
  static const bool has = active_isa() == Isa::avx512;
  return has;
}

bool suits_packed_gemm(bool tb, Index m, Index n, Index k, Index most_rows) {
  if (!has_packed_gemm() || portable_bits() || m < 4 || m > most_rows || n < 16 || k < 16) return false;
  return tb || m * n * k > (Index{1} << 18);  // small ones have kernels that need no packing
}

void packed_gemm(bool ta, Index m, Index n, Index k, const float* a, Index lda, const float* packed, float* c,
                 Index ldc, bool accumulate, Index share_from) {
  const Index each = columns_each(m, n, k, share_from), whole = panels(n) * panel_width;
  const Split rows(m);
  parallel_for((n + each - 1) / each, [&](Index part) {
    thread_local Room room;
    const Index j = part * each, cols = std::min(each, n - j);
    const Index at_once = tiles_at_once();
    float* copies = room.floats(std::min(rows.tiles, at_once) * tile_size);
    for (Index t = 0; t < rows.tiles; t += at_once) {
      const Index end = std::min(rows.tiles, t + at_once), height = rows.begin(end) - rows.begin(t);
      for (Index p = 0; p < k; p += panel_depth) {
        const Index steps = std::min(panel_depth, k - p), next = std::min(panel_depth, k - p - steps),
                    i = rows.begin(t);
        (ta ? copy_columns : copy_rows)(rows, t, end, steps, a + (ta ? p * lda : p), lda, copies);
        Pieces soon(a + (ta ? (p + next) * lda + i : i * lda + p + next), lda, ta ? next : height, ta ? height : next);
        const float* b = packed + p * whole + j * steps;
        Tiles{rows, t, end, ta, copies}.multiply(
            cols, steps, [&](Index q) { return b + q * panel_width * steps; }, true, c + j, ldc, accumulate || p > 0,
            [&] { return soon.next(); });
      }
    }
  });
}

#else

bool has_packed_gemm() { return false; }
bool suits_packed_gemm(bool, Index, Index, Index, Index) { return false; }
void packed_gemm(bool, Index, Index, Index, const float*, Index, const float*, float*, Index, bool, Index) {}
#endif

}  // namespace rw::detail
