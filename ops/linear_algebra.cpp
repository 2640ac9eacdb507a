#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/factor.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/linear_algebra.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

Index rows_of(const Shape& s) { return s[s.rank() - 2]; }

Index size_of_one(const Shape& s) { return rows_of(s) * s.cols(); }

/// Calls f(number of the matrix) for each of a stack.
template <class F>
void for_each_matrix(const Shape& shape, F&& f) {
  const Index one = size_of_one(shape);
  for (Index i = 0; one > 0 && i < shape.size() / one; ++i) f(i);
}
/// Matrix number i of a stack.
template <class T, class Stack>
auto* matrix(const Stack& stack, Index i) {
  return stack.template as<T>() + i * size_of_one(stack.shape);
}

void check_matrices(const Shape& s) {
  if (s.rank() < 2) throw Error(fmt::format("needs matrices, of rank 2 or more, not {}", s.str()));
}
void check_square(const Shape& s) {
  check_matrices(s);
  if (rows_of(s) != s.cols()) throw Error(fmt::format("needs square matrices, [..., n, n], not {}", s.str()));
}

/// The lower triangle, its diagonal times a number. It is its own transpose.
struct LowerTriangle {
  static constexpr std::string_view name = "tril";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 1> attribute_names{"diagonal"};
  static constexpr bool leading_axes = true;
  double diagonal = 1;
  Shape infer(std::span<const Shape> in) const {
    check_matrices(in[0]);
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      const Index n = y.cols(), rows = rows_of(y.shape);
      for (Index r = 0; r < y.rows(); ++r)
        for (Index c = 0; c < n; ++c) {
          const T from = x[0].as<T>()[r * n + c];
          const Index below = r % rows - c;
          y.as<T>()[r * n + c] = below > 0 ? from : below == 0 ? static_cast<T>(diagonal) * from : T(0);
        }
    });
  }
  void vjp(Vjp& g) const { g.add(0, record(*this, {g.dy()})); }
};

Tensor lower(Tensor x, double diagonal = 1) { return record(LowerTriangle{diagonal}, {x}); }

/// (L [..., n, n], B [..., n, k]) to L^-1 B or, transposed, L'^-1 B.
struct SolveTriangular {
  static constexpr std::string_view name = "solve_triangular";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 1> attribute_names{"transposed"};
  static constexpr bool leading_axes = true;
  bool transposed = false;
  Shape infer(std::span<const Shape> in) const {
    check_square(in[0]);
    check_matrices(in[1]);
    const Shape same = in[1].with(in[1].rank() - 1, rows_of(in[1]));
    if (in[0] != same)
      throw Error(fmt::format("L {} does not fit B {}: [..., n, n] and [..., n, k]", in[0].str(), in[1].str()));
    return in[1];
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      std::copy_n(x[1].as<T>(), y.size(), y.as<T>());
      for_each_matrix(y.shape, [&](Index i) {
        detail::solve_lower(transposed, rows_of(y.shape), y.cols(), matrix<T>(x[0], i), matrix<T>(y, i));
      });
    });
  }
  void vjp(Vjp& g) const {
    const Tensor db = record(SolveTriangular{!transposed}, {g.x(0), g.dy()});
    g.add(1, db);
    if (g.needs(0))
      g.add(0,
            -lower(transposed ? matmul(g.y(), db, {.transpose_b = true}) : matmul(db, g.y(), {.transpose_b = true})));
  }
};

Tensor solve(Tensor l, Tensor b, bool transposed = false) { return record(SolveTriangular{transposed}, {l, b}); }

/// The lower triangle of L' dL with half its diagonal, which is what a change of L looks like from within; and, as
/// the gradient of L L', P plus its transpose.
Tensor symmetric_within(Tensor l, Tensor dl) {
  const Tensor p = lower(matmul(l, lower(dl), {.transpose_a = true}), 0.5);
  return p + transpose(p);
}

struct Cholesky {
  static constexpr std::string_view name = "cholesky";
  static constexpr int arity = 1;
  static constexpr bool leading_axes = true;
  Shape infer(std::span<const Shape> in) const {
    check_square(in[0]);
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for_each_matrix(y.shape, [&](Index i) {
        const detail::BadPivot bad = detail::cholesky_factor(y.cols(), matrix<T>(x[0], i), matrix<T>(y, i));
        if (bad.at < 0) return;
        const std::string which = y.shape.rank() > 2 ? fmt::format(" number {} of {}", i, y.shape.str()) : "";
        throw Error(fmt::format("the matrix{} is not positive definite: pivot {} is {:.6g}", which, bad.at, bad.value));
      });
    });
  }
  // dA = L'^-1 (P + P') / 2 L^-1
  void vjp(Vjp& g) const {
    const Tensor l = g.y(), half = solve(l, symmetric_within(l, g.dy()), true);
    g.add(0, transpose(solve(l, transpose(half), true)) * 0.5);
  }
};

struct LowerFactor {
  static constexpr std::string_view name = "lower_factor";
  static constexpr int arity = 1;
  static constexpr bool leading_axes = true;
  Shape infer(std::span<const Shape> in) const {
    check_matrices(in[0]);
    const Index rows = rows_of(in[0]);
    if (rows > in[0].cols()) throw Error(fmt::format("needs at least as many columns as rows, not {}", in[0].str()));
    return in[0].with(in[0].rank() - 1, rows);
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for_each_matrix(y.shape,
                      [&](Index i) { detail::lq_factor(y.cols(), x[0].cols(), matrix<T>(x[0], i), matrix<T>(y, i)); });
    });
  }
  // dM = L'^-1 (P + P') L^-1 M
  void vjp(Vjp& g) const {
    const Tensor l = g.y();
    g.add(0, solve(l, matmul(symmetric_within(l, g.dy()), solve(l, g.x(0))), true));
  }
};

}  // namespace

Tensor tril(Operand x) { return lower(checked_tensor("tril", x)); }

Tensor cholesky(Operand a) { return record(Cholesky{}, {a}); }

Tensor lower_factor(Operand m) { return record(LowerFactor{}, {m}); }

Tensor solve_triangular(Operand l, Operand b, const TriangularOptions& options) {
  const Tensor& known = l.tensor() != nullptr ? *l.tensor() : checked_tensor("solve_triangular", b);
  Tensor factor = known.tape().resolve(l);
  const Tensor right = known.tape().resolve(b);
  const Shape of = right.shape();
  if (factor.shape().rank() == 2 && of.rank() > 2)
    factor = broadcast_to(factor, of.with(of.rank() - 2, factor.size(0)).with(of.rank() - 1, factor.size(1)));
  return solve(factor, right, options.transpose);
}

}  // namespace rw
