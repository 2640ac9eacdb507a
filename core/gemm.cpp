#include <Eigen/Core>
#include <oneapi/dnnl/dnnl.h>

#include <rewind/core/error.h>
#include <rewind/core/gemm.h>

namespace rw {

void gemm(bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb, float* c,
          Index ldc, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (Index i = 0; i < m && !accumulate; ++i) std::fill_n(c + i * ldc, n, 0.0f);
    return;
  }
  if (dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, accumulate ? 1.0f : 0.0f, c, ldc) !=
      dnnl_success) {
    throw Error("[gemm] oneDNN refused the product");
  }
}

void gemm(bool ta, bool tb, Index m, Index n, Index k, const double* a, Index lda, const double* b, Index ldb,
          double* c, Index ldc, bool accumulate) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using In = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
  const In A(a, ta ? k : m, ta ? m : k, Eigen::OuterStride<>(lda));
  const In B(b, tb ? n : k, tb ? k : n, Eigen::OuterStride<>(ldb));
  Eigen::Map<Matrix, 0, Eigen::OuterStride<>> C(c, m, n, Eigen::OuterStride<>(ldc));
  if (!accumulate) C.setZero();
  if (ta && tb) C.noalias() += A.transpose() * B.transpose();
  if (ta && !tb) C.noalias() += A.transpose() * B;
  if (!ta && tb) C.noalias() += A * B.transpose();
  if (!ta && !tb) C.noalias() += A * B;
}

void gemm(ConstView a, bool ta, ConstView b, bool tb, View c, bool accumulate) {
  const bool ranks = a.shape.rank() == 2 && b.shape.rank() == 2 && c.shape.rank() == 2;
  if (!ranks || a.shape[ta ? 0 : 1] != b.shape[tb ? 1 : 0] || c.shape[0] != a.shape[ta ? 1 : 0] ||
      c.shape[1] != b.shape[tb ? 0 : 1]) {
    throw Error("[gemm] shapes do not fit: " + a.shape.str() + (ta ? "' x " : " x ") + b.shape.str() +
                (tb ? "' -> " : " -> ") + c.shape.str());
  }
  if (a.dtype != b.dtype || a.dtype != c.dtype || !is_real(a.dtype)) {
    throw Error("[gemm] element types differ or are not real: " + std::string(name_of(a.dtype)) + " x " +
                std::string(name_of(b.dtype)) + " -> " + std::string(name_of(c.dtype)));
  }
  visit_real(a.dtype, [&]<class T>() {
    gemm(ta, tb, c.shape[0], c.shape[1], a.shape[ta ? 0 : 1], a.as<T>(), a.stride, b.as<T>(), b.stride, c.as<T>(),
         c.stride, accumulate);
  });
}

}  // namespace rw
