#pragma once

#include <array>

#include <rewind/core/dtype.h>

// The innermost parts of products whose second operand was copied into panels. Internal to core/gemm/.

namespace rw::detail {

/// How much of k a panel has: so much fits the first-level cache. Sums along k are made in blocks of it, whatever the
/// instruction set: an element's bits depend on its row, its column and k alone.
inline constexpr Index panel_depth = 256;

/// Numbers between the rows of a copied tile: they fall into different cache sets.
template <class T>
inline constexpr Index row_gap = panel_depth + 64 / static_cast<Index>(sizeof(T));

/// Rows are shared evenly among tiles.
class RowSplit {
 public:
  RowSplit(Index m, Index most_rows) : tiles((m + most_rows - 1) / most_rows), each_(m / tiles), longer_(m % tiles) {}
  Index begin(Index t) const { return t * each_ + (t < longer_ ? t : longer_); }
  Index rows(Index t) const { return each_ + (t < longer_ ? 1 : 0); }
  const Index tiles;

 private:
  Index each_, longer_;
};

/// What a tile brings near for those after it, little by little: were it all asked for at once, the tile would wait.
template <class T>
struct Ahead {
  const T* numbers;  // a line a step, into the second-level cache
  const T* c;        // the next tile's
  const T* piece;    // some lines
};

/// The kernels of one instruction set.
template <class T>
struct PanelKernels {
  static constexpr Index most_possible = 14;
  /// c [rows, cols] (+)= a b over `k` steps. a(i, p) is at a[i * row_gap + p] or, by columns, at a[p * most_rows + i];
  /// b is a panel.
  using Tile = void (*)(Index k, const T* a, const T* b, T* c, Index ldc, Index cols, bool accumulate, Ahead<T> ahead);

  Index most_rows;                                                      // of a tile
  Index width;                                                          // columns of a panel
  std::array<Tile, most_possible + 1> tiles_of_rows, tiles_of_columns;  // by how many rows a tile has
  /// Tiles by columns of `steps` rows of `a`, each where the one before has `tile_size` numbers.
  void (*copy_columns)(const RowSplit& rows, Index begin, Index end, Index steps, const T* a, Index lda, T* to);
  /// A panel of `k` rows of b, or of as many of its columns when it is turned; zeros behind column `cols`.
  void (*pack)(bool turned, Index k, Index cols, const T* b, Index ldb, T* to);

  Index tile_size() const { return most_rows * row_gap<T>; }
};

/// Those of this processor; null where it has none.
template <class T>
const PanelKernels<T>* panel_kernels();

}  // namespace rw::detail
