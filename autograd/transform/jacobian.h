#pragma once

#include <functional>
#include <span>
#include <vector>

#include <rewind/autograd/transform/derivatives.h>

namespace rw {

/// How a Jacobian is computed: row by row, which costs about as much as a gradient each; or column by column. The
/// cheaper one has fewer of them.
enum class Direction { cheaper, rows, columns };

namespace detail {
Tensor jacobian(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x, Direction direction);
/// What a linear f gives for the unit direction of each number of `of`, a row each.
Tensor along_units(Tape& tape, std::span<const Tensor> of,
                   const std::function<std::vector<Tensor>(std::span<const Tensor>)>& f);
}  // namespace detail

/// The Jacobian of f at x, [m, n]: row i is the derivative of number i of f's result, counted through all its tensors
/// in order, row-major, by number j of the argument likewise. All rows, or columns, are computed at once by `vmap`.
template <class F, class X>
Tensor jacobian(F&& f, const X& x, Direction direction = Direction::cheaper) {
  detail::Differentiation work("jacobian", detail::tape_of("jacobian", x));
  const auto at = detail::evaluate(work, f, x);
  const Tensor j = detail::jacobian(work, at.y, at.x, direction);
  work.keep();
  return j;
}

/// The Hessian of a scalar f at x, [n, n], numbered as a Jacobian's columns are: the derivatives of its gradient,
/// column by column.
template <class F, class X>
Tensor hessian(F&& f, const X& x) {
  detail::Differentiation work("hessian", detail::tape_of("hessian", x));
  const auto at = detail::evaluate(work, f, x);
  const Tensor y = work.scalar(at.y);
  const Tensor one = work.one(y);
  const std::vector<Tensor> gradient = work.pullback({&y, 1}, {&one, 1}, at.x);
  const Tensor h = detail::jacobian(work, gradient, at.x, Direction::columns);
  work.keep();
  return h;
}

}  // namespace rw
