#include <algorithm>
#include <type_traits>

#include <rewind/core/gemm/blocked.h>
#include <rewind/core/gemm/row_tiles.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

namespace rw::detail {

namespace {

// One thread's part of a product.
template <class T>
void multiply_blocks(const PanelKernels<T>& kernels, Index m, Index n, Index k, const ProductOperand<T>& a,
                     const ProductOperand<T>& b, T* c, Index ldc, bool accumulate) {
  constexpr Index most_columns = (Index{1} << 21) / panel_depth / static_cast<Index>(sizeof(T));  // 2 MB of panels
  thread_local Room<T> room_of_panels, room_of_copies;
  const RowSplit rows(m, kernels.most_rows);
  const Index at_once = std::min(rows.tiles, tiles_at_once(kernels));
  T* const panels =
      room_of_panels.numbers(whole_panels(std::min(n, most_columns), kernels.width) * std::min(k, panel_depth));
  T* const copies = room_of_copies.numbers(at_once * kernels.tile_size());
  for (Index j = 0; j < n; j += most_columns)
    for (Index p = 0; p < k; p += panel_depth) {
      const Index cols = std::min(most_columns, n - j), steps = std::min(panel_depth, k - p);
      pack_columns(kernels, b.turned, steps, 0, cols, b.at(p, j), b.ld, panels);
      for (Index t = 0; t < rows.tiles; t += at_once) {
        const Index end = std::min(rows.tiles, t + at_once), next = std::min(rows.tiles, end + at_once);
        const RowTiles<T> tiles{kernels, rows, t, end, p, steps}, after{kernels, rows, end, next, p, steps};
        tiles.copy(a, copies);
        tiles.multiply(
            a.turned, copies, cols, panels, c + j, ldc, accumulate || p > 0,
            end < next ? after.pieces(a) : b.pieces(p + steps, std::min(panel_depth, k - p - steps), j, cols));
      }
    }
}

}  // namespace

// Measured. In f64 the others are the kernels of small.cpp, which read b where it stands and so lose once it is far,
// and Eigen's. In f32 it is dnnl_sgemm, which is slower than these by some percent with AVX2, more so once a product is
// cut for threads, and with AVX-512 where a is transposed.
template <class T>
bool suits_blocked_gemm(bool ta, bool tb, Index m, Index n, Index k) {
  if (panel_kernels<T>() == nullptr) return false;
  const Index work = m * n * k, least = std::min({m, n, k});
  if constexpr (std::is_same_v<T, float>) {
    if (active_isa() == Isa::avx512) return ta && !tb && least >= 128 && work >= (Index{1} << 28);
    return least >= 128 && work >= (Index{1} << 27);
  }
  if (ta && tb) return least >= 8;
  if (tb) return least >= 16 && work >= least_blocked_work;
  return std::min(m, n) >= 32 && k >= 128 && work >= (Index{1} << 23);
}
template bool suits_blocked_gemm<float>(bool, bool, Index, Index, Index);
template bool suits_blocked_gemm<double>(bool, bool, Index, Index, Index);

template <class T>
void blocked_gemm(bool ta, bool tb, Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, T* c,
                  Index ldc, bool accumulate) {
  const auto& kernels = *panel_kernels<T>();
  const ProductOperand<T> left{ta, a, lda};
  const ProductOperand<T> right{tb, b, ldb};
  // Each part copies the whole of the operand that is not cut: the smaller one.
  const bool by_rows = m > n;
  const Index length = by_rows ? m : n, unit = by_rows ? kernels.most_rows : kernels.width;
  const Index work = m * n * k, most = work < (Index{1} << 31) ? threads() : 2 * threads();
  const Index parts = runs_serially() ? 1 : std::clamp<Index>(work >> 22, 1, most);
  const Index each = ((length + unit - 1) / unit + parts - 1) / parts * unit;
  parallel_for((length + each - 1) / each, [&](Index part) {
    const Index at = part * each, size = std::min(each, length - at);
    if (by_rows)
      multiply_blocks(kernels, size, n, k, {ta, left.at(at, 0), lda}, right, c + at * ldc, ldc, accumulate);
    else
      multiply_blocks(kernels, m, size, k, left, {tb, right.at(0, at), ldb}, c + at, ldc, accumulate);
  });
}
template void blocked_gemm(bool, bool, Index, Index, Index, const float*, Index, const float*, Index, float*, Index,
                           bool);
template void blocked_gemm(bool, bool, Index, Index, Index, const double*, Index, const double*, Index, double*, Index,
                           bool);

}  // namespace rw::detail
