#pragma once

#include <utility>

#include <rewind/autograd/transform/differentiation.h>

namespace rw {

// Derivatives of a function of Tensors, recorded as ops on the tape: they can be differentiated again, in any order,
// and work within `compile`. `f` takes the argument, and gives a Tensor or a range, tuple or aggregate of Tensors. The
// argument is a Tensor, a range or aggregate of them (a cell's State), a ParameterList, or a std::tuple of these, which
// are then f's arguments one by one. Tensors that f takes from elsewhere are constants to the derivative. Indices (i32)
// have none. Where f does not depend on its argument, derivatives are zeros. Each throws Error, with the tape as it
// was, for tangents that do not fit, naming both shapes, and whatever f throws. Complex numbers are not supported.

/// f(x), and its derivative along dx: J dx. At the cost of about one more f.
template <class F, class X>
auto jvp(F&& f, const X& x, const Tangent<X>& dx) {
  detail::Differentiation work("jvp", detail::tape_of("jvp", x));
  const std::vector<Tensor> along = detail::tensors_of(dx);
  work.check_tangents("tangent", detail::tensors_of(x), along);
  auto at = detail::evaluate(work, f, x);
  auto dy = detail::tangents_of(at.result, work.pushforward(at.y, at.x, along));
  work.keep();
  return std::pair(std::move(at.result), std::move(dy));
}

/// f(x), and the function from cotangents dy to J' dy, which may be called any number of times while the tape lives.
template <class F, class X>
auto vjp(F&& f, const X& x) {
  detail::Differentiation work("vjp", detail::tape_of("vjp", x));
  auto at = detail::evaluate(work, f, x);
  using Y = decltype(at.result);
  auto pull = [x, stand_ins = at.x, flat = at.y](const Y& dy) {
    detail::Differentiation back("vjp", detail::tape_of("vjp", x));
    const std::vector<Tensor> cotangents = detail::tensors_of(dy);
    back.check_tangents("cotangent", flat, cotangents);
    auto dx = detail::tangents_of(x, back.pullback(flat, cotangents, stand_ins));
    back.keep();
    return dx;
  };
  work.keep();
  return std::pair(std::move(at.result), std::move(pull));
}

/// f(x), a scalar, and its gradient.
template <class F, class X>
auto value_and_grad(F&& f, const X& x) {
  detail::Differentiation work("value_and_grad", detail::tape_of("value_and_grad", x));
  auto at = detail::evaluate(work, f, x);
  const Tensor y = work.scalar(at.y);
  const Tensor one = work.one(y);
  auto dx = detail::tangents_of(x, work.pullback({&y, 1}, {&one, 1}, at.x));
  work.keep();
  return std::pair(std::move(at.result), std::move(dx));
}

/// The Hessian of a scalar f times v, at the cost of about two and a half gradients: forward over reverse, the
/// derivative of the gradient along v (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).
template <class F, class X>
Tangent<X> hvp(F&& f, const X& x, const Tangent<X>& v) {
  detail::Differentiation work("hvp", detail::tape_of("hvp", x));
  const std::vector<Tensor> along = detail::tensors_of(v);
  work.check_tangents("tangent", detail::tensors_of(x), along);
  auto at = detail::evaluate(work, f, x);
  const Tensor y = work.scalar(at.y);
  const Tensor one = work.one(y);
  const std::vector<Tensor> gradient = work.pullback({&y, 1}, {&one, 1}, at.x);
  auto product = detail::tangents_of(x, work.pushforward(gradient, at.x, along));
  work.keep();
  return product;
}

/// What a function is and does along a line: f(x), and the first and second derivatives of f(x + t v) at t = 0.
template <class Y>
struct AlongLine {
  Y value, first, second;
};

template <class F, class X>
auto second_derivative(F&& f, const X& x, const Tangent<X>& v) {
  detail::Differentiation work("second_derivative", detail::tape_of("second_derivative", x));
  const std::vector<Tensor> along = detail::tensors_of(v);
  work.check_tangents("tangent", detail::tensors_of(x), along);
  auto at = detail::evaluate(work, f, x);
  const std::vector<Tensor> first = work.pushforward(at.y, at.x, along);
  const std::vector<Tensor> second = work.pushforward(first, at.x, along);
  auto one = detail::tangents_of(at.result, first), two = detail::tangents_of(at.result, second);
  work.keep();
  return AlongLine<decltype(at.result)>{std::move(at.result), std::move(one), std::move(two)};
}

}  // namespace rw
