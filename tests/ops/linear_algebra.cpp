#include <cmath>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/init.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

// A stack of matrices in plain doubles.
struct Matrices {
  Array& a;
  Index rows() const { return a.shape()[a.shape().rank() - 2]; }
  Index cols() const { return a.shape().cols(); }
  Index count() const { return rows() * cols() == 0 ? 0 : a.size() / (rows() * cols()); }
  double& operator()(Index m, Index r, Index c) {
    return a.span<double>()[static_cast<std::size_t>((m * rows() + r) * cols() + c)];
  }
};

Array lower(const Array& x) {
  Array y = x;
  Matrices m{y};
  for (Index i = 0; i < m.count(); ++i)
    for (Index r = 0; r < m.rows(); ++r)
      for (Index c = r + 1; c < m.cols(); ++c) m(i, r, c) = 0;
  return y;
}

// Row by row (Cholesky and Banachiewicz), of the symmetric part.
Array factor(const Array& x) {
  Array a = x, y(x.shape(), DType::f64);
  Matrices A{a}, L{y};
  for (Index i = 0; i < A.count(); ++i)
    for (Index r = 0; r < A.rows(); ++r)
      for (Index c = 0; c <= r; ++c) {
        double sum = (A(i, r, c) + A(i, c, r)) / 2;
        for (Index k = 0; k < c; ++k) sum -= L(i, r, k) * L(i, c, k);
        L(i, r, c) = r == c ? std::sqrt(sum) : sum / L(i, c, c);
      }
  return y;
}

Array squared(const Array& x) {
  Array m = x, y(x.shape().with(x.shape().rank() - 1, x.shape()[x.shape().rank() - 2]), DType::f64);
  Matrices M{m}, S{y};
  for (Index i = 0; i < M.count(); ++i)
    for (Index r = 0; r < M.rows(); ++r)
      for (Index c = 0; c < M.rows(); ++c)
        for (Index k = 0; k < M.cols(); ++k) S(i, r, c) += M(i, r, k) * M(i, c, k);
  return y;
}

Array solved(const Array& l, const Array& b, bool transpose) {
  Array factors = l, y = b;
  Matrices L{factors}, X{y};
  const Index n = X.rows();
  for (Index i = 0; i < X.count(); ++i)
    for (Index c = 0; c < X.cols(); ++c)
      for (Index step = 0; step < n; ++step) {
        const Index r = transpose ? n - 1 - step : step, which = l.shape().rank() > 2 ? i : 0;
        for (Index k = transpose ? r + 1 : 0; k < (transpose ? n : r); ++k)
          X(i, r, c) -= (transpose ? L(which, k, r) : L(which, r, k)) * X(i, k, c);
        X(i, r, c) /= L(which, r, r);
      }
  return y;
}

// Numbers near the identity, whatever x is: positive definite, and with rows that are independent.
Tensor near_identity(Tensor x) {
  const Index rows = x.size(-2), cols = x.size(-1);
  Array one(Shape{rows, cols}, DType::f64);
  for (Index i = 0; i < std::min(rows, cols); ++i) one.set({i, i}, 1);
  return 0.2 * tanh(x) + x.tape().constant(one);
}
Array near_identity(const Array& x) {
  Tape tape(DType::f64);
  return near_identity(tape.constant(x)).array();
}

OpCheck matrices(std::vector<std::vector<Shape>> shapes) {
  return {.shapes = std::move(shapes),
          .no_special_values = "plain loops sum in another order",
          .no_zero_gradients = "products and solutions multiply 0 with what is not finite"};
}

}  // namespace

TEST_CASE("tril") {
  CHECK(check_op("tril", [](Tensor x) { return tril(x); }, lower,
                 {.shapes = {{{3, 3}}, {{2, 4}}, {{4, 2}}, {{2, 3, 3}}, {{0, 2}}, {{1, 1}}}, .bad = {{{3}}}}));
}

TEST_CASE("cholesky") {
  CHECK(check_op(
      "cholesky", [](Tensor x) { return cholesky(near_identity(x)); },
      [](const Array& x) { return factor(near_identity(x)); }, matrices({{{3, 3}}, {{1, 1}}, {{2, 2, 2}}, {{4, 4}}})));
}

TEST_CASE("lower_factor") {
  CHECK(check_op(
      "lower_factor", [](Tensor x) { return lower_factor(near_identity(x)); },
      [](const Array& x) { return factor(squared(near_identity(x))); },
      matrices({{{3, 3}}, {{1, 1}}, {{1, 3}}, {{2, 2, 3}}, {{3, 5}}})));
}

TEST_CASE("solve_triangular") {
  for (const bool transpose : {false, true}) {
    CAPTURE(transpose);
    CHECK(check_op(
        "solve_triangular",
        [&](Tensor l, Tensor b) { return solve_triangular(near_identity(l), b, {.transpose = transpose}); },
        [&](const Array& l, const Array& b) { return solved(near_identity(l), b, transpose); },
        matrices({{{3, 3}, {3, 2}}, {{1, 1}, {1, 1}}, {{2, 3, 3}, {2, 3, 1}}, {{2, 2}, {2, 2, 3}}})));
  }
}

TEST_CASE("cholesky, solutions and products fit each other at sizes above a block, in both precisions") {
  Rng rng(5);
  for (const Index n : {1, 7, 33, 130})
    for (const DType dtype : {DType::f64, DType::f32}) {
      CAPTURE(n);
      Tape tape(dtype);
      const Tensor m = tape.constant(uniform(rng, {n, n + 3}, -1, 1));
      const Tensor a = matmul(m, m, {.transpose_b = true}) + tape.constant(identity(n)), l = cholesky(a);
      const double tolerance = dtype == DType::f64 ? 1e-12 : 1e-4;
      CHECK(norm(matmul(l, l, {.transpose_b = true}) - a).item() <= tolerance * norm(a).item());
      const Tensor b = tape.constant(uniform(rng, {n, 2}, -1, 1));
      CHECK(norm(matmul(l, solve_triangular(l, b)) - b).item() <= tolerance * norm(b).item());
      CHECK(norm(matmul(l, solve_triangular(l, b, {.transpose = true}), {.transpose_a = true}) - b).item() <=
            tolerance * norm(b).item());
      const Tensor wide = concat({m, tape.constant(identity(n))}, 1);
      CHECK(norm(lower_factor(wide) - l).item() <= 10 * tolerance * norm(l).item());
    }
}

TEST_CASE("a factor of what is not positive definite, or does not fit") {
  Tape tape(DType::f64);
  const Scope scope(tape, "kalman");
  const Tensor bad = tape.constant(Array({4.0, 2.0, 2.0, 0.5}, {2, 2})), good = tape.constant(identity(2));
  CHECK_THROWS_WITH_AS(cholesky(bad), "[cholesky] the matrix is not positive definite: pivot 1 is -0.5, in kalman",
                       Error);
  CHECK_THROWS_WITH_AS(
      cholesky(stack({good, bad})),
      "[cholesky] the matrix number 1 of (2, 2, 2) is not positive definite: pivot 1 is -0.5, in kalman", Error);
  CHECK_THROWS_WITH_AS(cholesky(tape.constant(0, Shape{2, 3})),
                       "[cholesky] needs square matrices, [..., n, n], not (2, 3), in kalman", Error);
  CHECK_THROWS_WITH_AS(lower_factor(tape.constant(0, Shape{3, 2})),
                       "[lower_factor] needs at least as many columns as rows, not (3, 2), in kalman", Error);
  CHECK_THROWS_WITH_AS(solve_triangular(good, tape.constant(0, Shape{3, 1})),
                       "[solve_triangular] L (2, 2) does not fit B (3, 1): [..., n, n] and [..., n, k], in kalman",
                       Error);
  CHECK_THROWS_WITH_AS(solve_triangular(tape.constant(0, Shape{2, 3}), good),
                       "[solve_triangular] needs square matrices, [..., n, n], not (2, 3), in kalman", Error);
  CHECK(std::isnan(cholesky(tape.constant(NAN, Shape{1, 1})).item()));
}
