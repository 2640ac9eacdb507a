#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <rewind/core/gemm/factor.h>

namespace rw::detail {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using In = Eigen::Map<const Matrix<T>>;
template <class T>
using Out = Eigen::Map<Matrix<T>>;

/// The first pivot of plain elimination that is not above 0, or the last one.
template <class T>
BadPivot bad_pivot(Matrix<T> a) {
  Index pivot = 0;
  for (; pivot + 1 < a.rows() && a(pivot, pivot) > 0; ++pivot)
    for (Index r = a.rows() - 1; r > pivot; --r)
      a.row(r).tail(a.cols() - pivot) -= a(r, pivot) / a(pivot, pivot) * a.row(pivot).tail(a.cols() - pivot);
  return {pivot, static_cast<double>(a(pivot, pivot))};
}

}  // namespace

template <class T>
BadPivot cholesky_factor(Index n, const T* a, T* l) {
  const In<T> in(a, n, n);
  const Matrix<T> symmetric = (in + in.transpose()) / T(2);
  const Eigen::LLT<Matrix<T>> factor(symmetric);
  if (factor.info() != Eigen::Success) return bad_pivot<T>(symmetric);
  Out<T>(l, n, n) = factor.matrixL();
  return {};
}

template <class T>
void lq_factor(Index n, Index columns, const T* m, T* l) {
  const Eigen::HouseholderQR<Matrix<T>> qr(In<T>(m, n, columns).transpose());
  Matrix<T> upper = qr.matrixQR().topRows(n).template triangularView<Eigen::Upper>();
  for (Index r = 0; r < n; ++r)
    if (upper(r, r) < 0) upper.row(r) = -upper.row(r);
  Out<T>(l, n, n) = upper.transpose();
}

template <class T>
void solve_lower(bool transposed, Index n, Index k, const T* l, T* x) {
  const In<T> factor(l, n, n);
  Out<T> solution(x, n, k);
  if (transposed)
    factor.transpose().template triangularView<Eigen::Upper>().solveInPlace(solution);
  else
    factor.template triangularView<Eigen::Lower>().solveInPlace(solution);
}

double smallest_eigenvalue(Index n, const double* a) {
  return Eigen::SelfAdjointEigenSolver<Matrix<double>>(In<double>(a, n, n), Eigen::EigenvaluesOnly).eigenvalues()(0);
}

std::vector<double> least_squares(Index rows, Index columns, Index outputs, const double* a, const double* b) {
  std::vector<double> w(static_cast<std::size_t>(columns * outputs));
  Out<double>(w.data(), columns, outputs) =
      In<double>(a, rows, columns).colPivHouseholderQr().solve(In<double>(b, rows, outputs));
  return w;
}

template BadPivot cholesky_factor(Index, const float*, float*);
template BadPivot cholesky_factor(Index, const double*, double*);
template void lq_factor(Index, Index, const float*, float*);
template void lq_factor(Index, Index, const double*, double*);
template void solve_lower(bool, Index, Index, const float*, float*);
template void solve_lower(bool, Index, Index, const double*, double*);

}  // namespace rw::detail
