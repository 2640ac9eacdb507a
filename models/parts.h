#pragma once

#include <array>

#include <rewind/autograd/structural.h>

namespace rw::detail {

/// `length` positions of the last axis from `start` on.
inline Tensor part(Tensor x, Index start, Index length) {
  return record(Slice{.axis = x.shape().axis(-1), .start = start, .length = length}, {x});
}

/// N equal parts along the last axis.
template <std::size_t N>
std::array<Tensor, N> parts(Tensor x) {
  const Index length = x.size(-1) / static_cast<Index>(N);
  std::array<Tensor, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = part(x, static_cast<Index>(i) * length, length);
  return out;
}

}  // namespace rw::detail
