#pragma once

#include <concepts>

#include <rewind/ops/axes.h>

namespace rw {

// Reductions: over everything, or over one axis or several, which go unless `keepdims` leaves them with length 1.
// Axes are counted from the end when negative. Throws Error for an axis that is not there. No sum is one long running
// sum: its error grows with the logarithm of the number of terms.

/// The sum; 0 over nothing. The order of the sum depends on the shapes alone. Infinities of both signs give nan.
Tensor sum(Operand x);
Tensor sum(Operand x, const Axes& axes, bool keepdims = false);

/// The mean; nan over nothing.
Tensor mean(Operand x);
Tensor mean(Operand x, const Axes& axes, bool keepdims = false);

/// The largest; nan when there is one, and then nobody gets a gradient. Where several are the largest, each gets an
/// equal part of the gradient (as PyTorch's amax and JAX do it). Throws Error over nothing. One axis is written in
/// braces, `max(x, {0})`: the larger of x and 0, number by number, is `maximum(x, 0)`.
Tensor max(Operand x);
Tensor max(Operand x, const Axes& axes, bool keepdims = false);
/// The smallest, likewise.
Tensor min(Operand x);
Tensor min(Operand x, const Axes& axes, bool keepdims = false);

/// Does not compile.
template <std::convertible_to<Operand> Other>
Tensor max(Operand, Other&&, bool = false) {
  static_assert(detail::is_axis<Other>,
                "the larger of two, number by number, is maximum(x, 0); the largest along an axis is max(x, {0})");
  return {};
}
/// Does not compile.
template <std::convertible_to<Operand> Other>
Tensor min(Operand, Other&&, bool = false) {
  static_assert(detail::is_axis<Other>,
                "the smaller of two, number by number, is minimum(x, 0); the smallest along an axis is min(x, {0})");
  return {};
}

/// The Euclidean norm, sqrt(sum(x^2)), scaled so that squares neither overflow nor vanish: of 1e300 and of 1e-310 too.
/// 0 over nothing. Its gradient is x / norm, and 0 where the norm is 0; of an infinite x the norm is infinite and the
/// gradient nan.
Tensor norm(Operand x);
Tensor norm(Operand x, const Axes& axes, bool keepdims = false);

}  // namespace rw
