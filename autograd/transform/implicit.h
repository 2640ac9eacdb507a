#pragma once

#include <functional>
#include <utility>

#include <rewind/autograd/transform/own_rule.h>

namespace rw {

struct FixedPointOptions {
  /// Converged when no number changes by more than `tolerance` times (1 + its size).
  double tolerance = 1e-12;
  int most_steps = 10000;
  /// While `compile` traces, and within vmap, there are no values to decide by: this many steps, of the function and of
  /// its gradient. 0, where the point itself has values: the gradient, as in a Jacobian, by a linear system. Where a
  /// compiled function is checked, fewer than `tolerance` needs are an Error.
  int traced_steps = 0;
};

struct ArgminOptions {
  /// Found when no number of the gradient is larger than `tolerance` times (1 + the largest at the start).
  double tolerance = 1e-10;
  int most_steps = 200;
  /// While `compile` traces, and within vmap, there are no values to decide by: this many whole steps of Newton's
  /// method, each by a linear system with all of the Hessian. Where a compiled function is checked, fewer than
  /// `tolerance` needs are an Error.
  int traced_steps = 0;
};

namespace detail {

using FlatFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

std::vector<Tensor> fixed_point(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                                const FixedPointOptions& options);
/// f gives one scalar.
std::vector<Tensor> argmin(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                           const ArgminOptions& options);
template <class F, class X>
FlatFunction flat(const F& f, const X& like) {
  return [f, like](std::span<const Tensor> x) { return tensors_of(call(f, with_tensors(like, x))); };
}

}  // namespace detail

/// x with x = f(x), found by steps x = f(x) from x0 on; none of them stays on the tape. Gradients reach what f takes
/// from the tape and parameters, by the implicit function theorem: (1 - J')^-1 dy, found by such steps as well, so they
/// do not depend on how many steps it took nor on x0 (Christianson, "Reverse accumulation and attractive fixed points",
/// 1994). Can be differentiated again. f is called again when gradients are taken: what it captures must live until
/// then. Throws Error when it does not converge, saying how far it came, when f gives other shapes than it takes, and
/// where no values are there without `traced_steps`; the tape is then as it was.
template <class F, class X>
X fixed_point(F f, const X& x0, const FixedPointOptions& options = {}) {
  Tape& tape = detail::tape_of("fixed_point", x0);
  return detail::with_tensors(x0, detail::fixed_point(tape, detail::flat(f, x0), detail::tensors_of(x0), options));
}

/// The x near x0 that makes the scalar f(x) smallest: Newton's method, each step by conjugate gradients on Hessian
/// products. Gradients reach what f takes from the tape and parameters, by the implicit function theorem on f's
/// gradient: -d/dp (f's gradient)' H^-1 dy. Can be differentiated again. f is called again when gradients are taken:
/// what it captures must live until then. Throws Error when it does not converge, saying how far it came, for an f that
/// is nan at x0, for a Hessian that is not positive definite at x, and where no values are there without
/// `traced_steps`; the tape is then as it was.
template <class F, class X>
X argmin(F f, const X& x0, const ArgminOptions& options = {}) {
  Tape& tape = detail::tape_of("argmin", x0);
  return detail::with_tensors(x0, detail::argmin(tape, detail::flat(f, x0), detail::tensors_of(x0), options));
}

}  // namespace rw
