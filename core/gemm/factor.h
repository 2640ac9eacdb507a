#pragma once

// Factors of dense matrices, row-major and contiguous, and what is solved with them; T is float or double.
// Internal to ops/ and models/.

#include <vector>

#include <rewind/core/dtype.h>

namespace rw::detail {

/// Where Cholesky's elimination stopped: at a pivot that is not above 0.
struct BadPivot {
  Index at = -1;  // -1: it did not stop
  double value = 0;
};

/// l [n, n], lower triangular, with l l' = (a + a') / 2; not set when that is not positive definite. nan gives nan.
template <class T>
BadPivot cholesky_factor(Index n, const T* a, T* l);

/// l [n, n], lower triangular and not negative on its diagonal, with l l' = m m', for m [n, columns], columns >= n.
template <class T>
void lq_factor(Index n, Index columns, const T* m, T* l);

/// x [n, k] becomes l^-1 x or, transposed, l'^-1 x, of the lower triangle of l [n, n].
template <class T>
void solve_lower(bool transposed, Index n, Index k, const T* l, T* x);

/// Of a symmetric matrix a [n, n], n >= 1.
double smallest_eigenvalue(Index n, const double* a);

/// The w [columns, outputs] of least |a w - b|^2, for a [rows, columns] and b [rows, outputs].
std::vector<double> least_squares(Index rows, Index columns, Index outputs, const double* a, const double* b);

}  // namespace rw::detail
