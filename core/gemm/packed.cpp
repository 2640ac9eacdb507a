#include <algorithm>

#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/packed.h>
#include <rewind/core/gemm/row_tiles.h>
#include <rewind/core/threads.h>

namespace rw::detail {

namespace {

// Columns for one thread: enough to be worth it. Each part copies a, so there are few; but a thread that wakes late
// wants a small share.
Index columns_each(Index width, Index m, Index n, Index k, Index share_from) {
  const Index columns = whole_panels(n, width);
  if (runs_serially()) return columns;
  const bool awake = helpers_are_awake();
  const Index worth = awake ? share_from : 8 * share_from;
  const Index pieces = std::clamp<Index>(m * n * k / worth, 1, awake ? threads() : 8);
  return (columns / width + pieces - 1) / pieces * width;
}

}  // namespace

bool has_packed_gemm() { return panel_kernels<float>() != nullptr; }

bool suits_packed_gemm(bool tb, Index m, Index n, Index k, Index most_rows) {
  if (!has_packed_gemm() || portable_bits() || m < 4 || m > most_rows || n < 16 || k < 16) return false;
  return tb || m * n * k > (Index{1} << 18);  // small ones have kernels that need no packing
}

Index packed_size(Index k, Index n) {
  const auto* kernels = panel_kernels<float>();
  return kernels == nullptr ? 0 : whole_panels(n, kernels->width) * k;
}

void pack(bool tb, Index k, Index n, const float* b, Index ldb, float* packed) {
  const auto& kernels = *panel_kernels<float>();
  const Index columns = whole_panels(n, kernels.width), worth = Index{1} << 16;
  const Index each = std::max<Index>(1, worth / (k * kernels.width)) * kernels.width;
  parallel_for((n + each - 1) / each, [&](Index part) {
    for (Index p = 0; p < k; p += panel_depth)
      pack_columns(kernels, tb, std::min(panel_depth, k - p), part * each, std::min(n, (part + 1) * each),
                   b + (tb ? p : p * ldb), ldb, packed + p * columns);
  });
}

void packed_gemm(bool ta, Index m, Index n, Index k, const float* a, Index lda, const float* packed, float* c,
                 Index ldc, bool accumulate, Index share_from) {
  const auto& kernels = *panel_kernels<float>();
  const ProductOperand<float> left{ta, a, lda};
  const RowSplit rows(m, kernels.most_rows);
  const Index each = columns_each(kernels.width, m, n, k, share_from), columns = whole_panels(n, kernels.width);
  const Index at_once = std::min(rows.tiles, tiles_at_once(kernels));
  parallel_for((n + each - 1) / each, [&](Index part) {
    thread_local Room<float> room;
    float* copies = room.numbers(at_once * kernels.tile_size());
    const Index j = part * each, cols = std::min(each, n - j);
    for (Index t = 0; t < rows.tiles; t += at_once)
      for (Index p = 0; p < k; p += panel_depth) {
        const Index steps = std::min(panel_depth, k - p), next = std::min(panel_depth, k - p - steps);
        const RowTiles<float> tiles{kernels, rows, t, std::min(rows.tiles, t + at_once), p, steps};
        const RowTiles<float> after{kernels, rows, t, tiles.end, p + steps, next};
        tiles.copy(left, copies);
        tiles.multiply(ta, copies, cols, packed + p * columns + j * steps, c + j, ldc, accumulate || p > 0,
                       after.pieces(left));
      }
  });
}

}  // namespace rw::detail
