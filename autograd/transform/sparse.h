#pragma once

#include <utility>

#include <rewind/autograd/transform/jacobian.h>
#include <rewind/autograd/transform/sparsity.h>

namespace rw {

/// A Jacobian of which only the elements in a pattern are computed: columns (or rows) that do not meet are computed
/// together, so that it costs `colours` directions in place of one for each column.
struct SparseJacobian {
  SparsityPattern pattern;
  /// One for each element of the pattern, row by row.
  Tensor values;
  Index colours = 0;
  Direction direction = Direction::columns;
};

namespace detail {
SparseJacobian sparse_jacobian(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x,
                               SparsityPattern pattern, Direction direction);
Tensor diagonal(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x);
SparsityPattern pattern_of(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x);
std::vector<Tensor> gradient(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x);
}  // namespace detail

/// Where the Jacobian of f may be other than 0, found from the ops that f records at x: rows and columns as `jacobian`
/// has them. It is right for every x at which f records the same ops with the same indices. What cannot be said of an
/// op is taken as dense.
template <class F, class X>
SparsityPattern sparsity(F&& f, const X& x) {
  detail::Differentiation work("sparsity", detail::tape_of("sparsity", x));  // leaves nothing
  const auto at = detail::evaluate(work, f, x);
  return detail::pattern_of(work, at.y, at.x);
}

/// The Jacobian of f at x by its pattern: the one given, or the one found from the program. Throws Error for a pattern
/// of other sizes.
template <class F, class X>
SparseJacobian sparse_jacobian(F&& f, const X& x, std::optional<SparsityPattern> pattern = std::nullopt,
                               Direction direction = Direction::cheaper) {
  detail::Differentiation work("sparse_jacobian", detail::tape_of("sparse_jacobian", x));
  const auto at = detail::evaluate(work, f, x);
  if (!pattern.has_value()) pattern = detail::pattern_of(work, at.y, at.x);
  SparseJacobian j = detail::sparse_jacobian(work, at.y, at.x, std::move(*pattern), direction);
  work.keep();
  return j;
}

/// The Hessian of a scalar f at x, likewise: the Jacobian of its gradient.
template <class F, class X>
SparseJacobian sparse_hessian(F&& f, const X& x, std::optional<SparsityPattern> pattern = std::nullopt) {
  detail::Differentiation work("sparse_hessian", detail::tape_of("sparse_hessian", x));
  const auto at = detail::evaluate(work, f, x);
  const std::vector<Tensor> g = detail::gradient(work, at.y, at.x);
  if (!pattern.has_value()) pattern = detail::pattern_of(work, g, at.x);
  SparseJacobian h = detail::sparse_jacobian(work, g, at.x, std::move(*pattern), Direction::columns);
  work.keep();
  return h;
}

/// The diagonal of the Jacobian of f, [n], whose result must have as many numbers as its argument; and that of the
/// Hessian of a scalar f. As many directions as the pattern needs: one where each number depends on its own alone.
template <class F, class X>
Tensor jacobian_diagonal(F&& f, const X& x) {
  detail::Differentiation work("jacobian_diagonal", detail::tape_of("jacobian_diagonal", x));
  const auto at = detail::evaluate(work, f, x);
  const Tensor d = detail::diagonal(work, at.y, at.x);
  work.keep();
  return d;
}
template <class F, class X>
Tensor hessian_diagonal(F&& f, const X& x) {
  detail::Differentiation work("hessian_diagonal", detail::tape_of("hessian_diagonal", x));
  const auto at = detail::evaluate(work, f, x);
  const Tensor d = detail::diagonal(work, detail::gradient(work, at.y, at.x), at.x);
  work.keep();
  return d;
}

}  // namespace rw
