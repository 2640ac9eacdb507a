#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <vector>

#include <rewind/ops/axes.h>

namespace rw {

// The same elements under another shape or order. Axes are counted from the end when negative. All work for indices
// (i32) as well as for reals, nan and infinities among them. A reshape, a slice of the first or last axis, and a split
// are views: nothing is copied.

/// The elements of x, row-major, as `shape`. Throws Error when the sizes differ.
Tensor reshape(Operand x, const Shape& shape);
/// The same; one length may be -1, and is what the size leaves: `reshape(x, {-1, 8})`.
Tensor reshape(Operand x, std::initializer_list<Index> lengths);

/// The last two axes swapped: [..., m, n] becomes [..., n, m]. Throws Error for a rank below 2.
Tensor transpose(Operand x);
/// Axis i of the result is axis axes[i] of x. Throws Error unless every axis is named once.
Tensor permute(Operand x, std::initializer_list<int> axes);
Tensor permute(Operand x, std::span<const int> axes);

/// Axes a and b change places; x itself when they are one.
Tensor swap_axes(Operand x, Axis a, Axis b);

/// Positions start, ..., start + length - 1 of one axis. Throws Error when they are outside it.
Tensor slice(Operand x, Axis axis, Index start, Index length);
/// Position i of one axis (negative: from the end), which goes: [T, N, H] becomes [N, H] for axis 0.
Tensor select(Operand x, Axis axis, Index i);

/// One axis cut into `pieces` of equal length. Throws Error when it does not divide.
std::vector<Tensor> split(Operand x, Index pieces, Axis axis = -1);
/// One axis cut into pieces of these lengths. Throws Error when they do not add up to it.
std::vector<Tensor> split(Operand x, std::span<const Index> lengths, Axis axis = -1);
std::vector<Tensor> split(Operand x, std::initializer_list<Index> lengths, Axis axis = -1);
/// N equal pieces by name: `auto [i, f, g, o] = split<4>(gates);`
template <std::size_t N>
std::array<Tensor, N> split(Operand x, Axis axis = -1);

/// End to end along one axis; the other axes must be equal. At least one operand must be a Tensor.
Tensor concat(std::initializer_list<Operand> x, Axis axis = 0);
Tensor concat(std::span<const Tensor> x, Axis axis = 0);
/// Side by side along a new axis: T of [N, H] become [T, N, H] for axis 0. At least one must be a Tensor.
Tensor stack(std::initializer_list<Operand> x, Axis axis = 0);
Tensor stack(std::span<const Tensor> x, Axis axis = 0);

/// x (real) stretched to `shape` as NumPy does it. Throws Error when it does not broadcast.
Tensor broadcast_to(Operand x, const Shape& shape);

/// One axis in reverse order.
Tensor flip(Operand x, Axis axis = -1);

namespace detail {
void split_into(std::span<Tensor> pieces, const Operand& x, int axis);
}  // namespace detail

template <std::size_t N>
std::array<Tensor, N> split(Operand x, Axis axis) {
  std::array<Tensor, N> pieces;
  detail::split_into(pieces, x, axis);
  return pieces;
}

}  // namespace rw
