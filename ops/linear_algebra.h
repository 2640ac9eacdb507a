#pragma once

#include <rewind/ops/axes.h>

namespace rw {

// Of the last two axes, [..., n, n]; leading axes are as many matrices. Gradients are products and solutions of
// triangular systems, in which 0 times what is not finite is nan.

/// The lower triangle, with the diagonal; 0 above it. [..., m, n]. Throws Error for a rank below 2.
Tensor tril(Operand x);

/// The lower triangular L, positive on its diagonal, with L L' = A, of the symmetric part (A + A') / 2 of A: that is A
/// for a covariance. nan gives nan. Throws Error when A is not positive definite (which matrix, at which pivot), and
/// for what is not square. Gradient: Murray, "Differentiation of the Cholesky decomposition" (2016); it is symmetric.
Tensor cholesky(Operand a);

/// The lower triangular L, not negative on its diagonal, with L L' = M M', for M [..., n, m], m >= n: the L of an LQ
/// decomposition, by Householder's reflections. What `cholesky(M M')` is, without squaring M: half the digits are not
/// lost. Its gradient needs rows that are linearly independent. Throws Error for more rows than columns.
Tensor lower_factor(Operand m);

struct TriangularOptions {
  /// Solve L' X = B.
  bool transpose = false;
};

/// The X with L X = B: L [..., n, n], of which the lower triangle is read, and B [..., n, k] of the same leading axes;
/// L may be one matrix [n, n] for all of B. A 0 on the diagonal gives what IEEE's division gives. Throws Error for
/// shapes that do not fit. Gradient: Giles, "Collected matrix derivative results" (2008).
Tensor solve_triangular(Operand l, Operand b, const TriangularOptions& options = {});

}  // namespace rw
