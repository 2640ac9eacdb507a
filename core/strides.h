#pragma once

#include <array>
#include <span>

#include <rewind/core/view.h>

namespace rw {

/// The loop nest over a shape and several arrays that broadcast to it, with neighbouring axes merged where every array
/// allows it. Strides are in elements; 0 along an axis that is stretched. The last axis is the inner loop; along it the
/// elements of every array lie side by side, or are one.
template <std::size_t Arrays>
struct LoopNest {
  int rank = 0;
  std::array<Index, max_rank> dims{};
  std::array<std::array<Index, max_rank>, Arrays> strides{};

  /// Length of the innermost loop.
  Index inner() const { return rank == 0 ? 1 : dims[static_cast<std::size_t>(rank - 1)]; }
  /// Number of its runs.
  Index outer() const {
    Index n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= dims[static_cast<std::size_t>(i)];
    return n;
  }
  /// What an array moves by in it.
  Index inner_stride(std::size_t array) const {
    return rank == 0 ? 0 : strides[array][static_cast<std::size_t>(rank - 1)];
  }
  /// Offset in `array` of the start of the inner loop number `row` of `outer()`.
  Index offset(std::size_t array, Index row) const {
    Index at = 0;
    for (int i = rank - 2; i >= 0; --i) {
      const auto axis = static_cast<std::size_t>(i);
      at += row % dims[axis] * strides[array][axis];
      row /= dims[axis];
    }
    return at;
  }
};

namespace detail {

// Stride in elements of every axis of `to` when the view is stretched to it.
inline std::array<Index, max_rank> stretched_strides(const Shape& shape, Index row_stride, const Shape& to) {
  std::array<Index, max_rank> strides{};
  const int offset = to.rank() - shape.rank();
  Index stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    const auto axis = static_cast<std::size_t>(i + offset);
    strides[axis] = shape[i] == 1 && to[i + offset] != 1 ? 0 : stride;
    stride = i == shape.rank() - 1 ? row_stride : stride * shape[i];
  }
  return strides;
}

}  // namespace detail

/// The nest over `shape` of arrays given as (shape, row stride) that broadcast to it.
template <std::size_t Arrays>
LoopNest<Arrays> loop_nest(const Shape& shape, const std::array<std::pair<Shape, Index>, Arrays>& arrays, int used) {
  std::array<std::array<Index, max_rank>, Arrays> strides{};
  for (std::size_t a = 0; a < static_cast<std::size_t>(used); ++a)
    strides[a] = detail::stretched_strides(arrays[a].first, arrays[a].second, shape);
  LoopNest<Arrays> nest;
  for (int i = 0; i < shape.rank(); ++i) {
    const auto axis = static_cast<std::size_t>(i);
    if (shape[i] == 1 && !(i + 1 == shape.rank() && nest.rank == 0)) continue;
    const auto last = static_cast<std::size_t>(nest.rank - 1);
    bool merge = nest.rank > 0;
    for (std::size_t a = 0; merge && a < static_cast<std::size_t>(used); ++a)
      merge = nest.strides[a][last] == strides[a][axis] * shape[i];
    const auto to = merge ? last : static_cast<std::size_t>(nest.rank++);
    nest.dims[to] = merge ? nest.dims[last] * shape[i] : shape[i];
    for (std::size_t a = 0; a < static_cast<std::size_t>(used); ++a) nest.strides[a][to] = strides[a][axis];
  }
  // Rows of one element may be apart: then they are not the inner loop, but one element is.
  for (std::size_t a = 0; a < static_cast<std::size_t>(used); ++a) {
    if (nest.inner_stride(a) <= 1) continue;
    nest.dims[static_cast<std::size_t>(nest.rank++)] = 1;
    break;
  }
  return nest;
}

}  // namespace rw
