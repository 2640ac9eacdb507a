#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <rewind/core/error.h>
#include <rewind/core/gemm/panels.h>
#include <rewind/core/memory.h>
#include <rewind/core/processor.h>

// Tiles of rows times panels: what products over packed matrices (packed.cpp) and those that pack for themselves
// (blocked.cpp) share. Internal to core/gemm/.

namespace rw::detail {

/// Memory of one thread, grown and never given back.
template <class T>
class Room {
 public:
  T* numbers(Index n) {
    if (n > size_) {
      size_ = 0;
      data_.reset(static_cast<T*>(allocate_vectors(static_cast<std::size_t>(n) * sizeof(T))));
      if (data_ == nullptr) throw Error("[gemm] no memory to copy a part of a matrix into");
      size_ = n;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  Index size_ = 0;
};

/// Tiles of a that are kept in the second-level cache: half of it, and no more than were of use. Changes no bits.
template <class T>
Index tiles_at_once(const PanelKernels<T>& kernels) {
  constexpr std::size_t of_use = std::size_t{360} << 10;
  const std::size_t bytes = std::min(this_processor().second_cache / 2, of_use);
  return std::max<Index>(4, static_cast<Index>(bytes / (static_cast<std::size_t>(kernels.tile_size()) * sizeof(T))));
}

/// Pieces of a matrix, from row to row: what is to be brought near.
template <class T>
class Pieces {
 public:
  Pieces(const T* at, Index ld, Index rows, Index cols)
      : at_(at), ld_(ld), rows_(rows), each_((cols + length - 1) / length) {}
  const T* next() {
    if (rows_ == 0) return at_;
    const T* piece = at_ + column_ * length;
    if (++column_ < each_) return piece;
    column_ = 0;
    if (--rows_ > 0) at_ += ld_;
    return piece;
  }

 private:
  static constexpr Index length = 2048 / sizeof(T);
  const T* at_;
  Index ld_, rows_, each_, column_ = 0;
};

/// An operand of a product: op of a matrix.
template <class T>
struct ProductOperand {
  bool turned;
  const T* data;
  Index ld;
  const T* at(Index row, Index col) const { return data + (turned ? col * ld + row : row * ld + col); }
  /// A part of it, which may be empty.
  Pieces<T> pieces(Index row, Index rows, Index col, Index cols) const {
    return {rows > 0 && cols > 0 ? at(row, col) : data, ld, turned ? cols : rows, turned ? rows : cols};
  }
};

/// Tiles [begin, end) of the rows of a result, over `steps` of k from `from` on.
template <class T>
struct RowTiles {
  const PanelKernels<T>& kernels;
  const RowSplit& rows;
  Index begin, end;
  Index from, steps;

  /// Copies a, so that its rows neither fall into the same cache sets nor need pages of their own.
  void copy(const ProductOperand<T>& a, T* to) const {
    if (a.turned) return kernels.copy_columns(rows, begin, end, steps, a.at(rows.begin(begin), from), a.ld, to);
    for (Index t = begin; t < end; ++t, to += kernels.tile_size())
      for (Index i = 0; i < rows.rows(t); ++i) std::copy_n(a.at(rows.begin(t) + i, from), steps, to + i * row_gap<T>);
  }

  /// What `copy` reads.
  Pieces<T> pieces(const ProductOperand<T>& a) const {
    return a.pieces(rows.begin(begin), rows.begin(end) - rows.begin(begin), from, steps);
  }

  /// c (+)= what was copied times `n` columns of b, whose panels come from beyond the second-level cache. Meanwhile
  /// what is needed `soon` is brought near.
  void multiply(bool by_columns, const T* copies, Index n, const T* panels, T* c, Index ldc, bool accumulate,
                Pieces<T> soon) const {
    const auto& tiles = by_columns ? kernels.tiles_of_columns : kernels.tiles_of_rows;
    constexpr Index line = 64 / sizeof(T);
    const Index panel = steps * kernels.width, share = panel / (end - begin) / line * line;
    for (Index j = 0; j < n; j += kernels.width, panels += panel) {
      const bool last = j + kernels.width >= n;
      const T* next = last ? panels : panels + panel;  // of it, each tile fetches a share
      for (Index t = begin; t < end; ++t) {
        const T* c_next = t + 1 < end ? c + rows.begin(t + 1) * ldc + j
                                      : c + rows.begin(begin) * ldc + (last ? j : j + kernels.width);
        tiles[static_cast<std::size_t>(rows.rows(t))](steps, copies + (t - begin) * kernels.tile_size(), panels,
                                                      c + rows.begin(t) * ldc + j, ldc, std::min(kernels.width, n - j),
                                                      accumulate, {next + (t - begin) * share, c_next, soon.next()});
      }
    }
  }
};

inline Index whole_panels(Index columns, Index width) { return (columns + width - 1) / width * width; }

/// Packs columns [begin, end) of `steps` rows of op(b) into panels, of which `to` is the first of column 0.
template <class T>
void pack_columns(const PanelKernels<T>& kernels, bool tb, Index steps, Index begin, Index end, const T* b, Index ldb,
                  T* to) {
  for (Index j = begin; j < end; j += kernels.width)
    kernels.pack(tb, steps, std::min(kernels.width, end - j), b + (tb ? j * ldb : j), ldb, to + j * steps);
}

}  // namespace rw::detail
