#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <rewind/autograd/transform/own_rule.h>

namespace rw {

/// The same tensors, from which no gradient flows back: `detach` for any aggregate.
template <class X>
X stop(const X& x) {
  std::vector<Tensor> cut;
  for (const Tensor& t : detail::tensors_of(x)) cut.push_back(detach(t));
  return detail::with_tensors(x, cut);
}

/// The function f with a gradient rule of its own, in place of what its ops would give: `rule(x, y, dy)` gives a
/// gradient for each tensor of the argument x, in x's structure (a tuple is given to the rule as it is). For rules that
/// are cheaper or more stable than the derivative, and for others on purpose (straight-through estimators). The rule
/// records ops, so it can be differentiated again, and jvp follows from it as it does from an op's rule; it must be
/// linear in dy for that. The tape keeps the rule: what it captures must live as long. What f takes from elsewhere gets
/// no gradient: make it an argument; so must be, within vmap, what the rule takes of one example. A `gradcheck` of the
/// result compares the rule with finite differences of f. Throws Error, with the tape as it was, for a function that
/// gives indices, and, when the gradient is taken, for a rule that gives another number of gradients or other shapes,
/// or for an argument that is indices of one example when that is outside of vmap.
template <class F, class Rule>
auto custom_vjp(F f, Rule rule) {
  return [f = std::move(f), rule = std::move(rule)]<class X>(const X& x) {
    Tape& tape = detail::tape_of("custom_vjp", x);
    const TapeMark before = tape.mark();
    auto y = [&] {
      const NoGrad off(tape);
      return detail::call(f, x);
    }();
    std::vector<Tensor> inputs;
    std::vector<std::optional<Tensor>> indices;
    for (const Tensor& t : detail::tensors_of(x)) {
      indices.push_back(is_real(t.dtype()) ? std::nullopt : std::optional(t));
      if (is_real(t.dtype())) inputs.push_back(t);
    }
    detail::FlatRule flat = [rule, x, y, indices](std::span<const Tensor> in, std::span<const Tensor> values,
                                                  std::span<const Tensor> cotangents) {
      const auto dx = rule(detail::with_tensors(x, detail::with_indices(in, indices)), detail::with_tensors(y, values),
                           detail::with_tensors(y, cotangents));
      std::vector<Tensor> gradients;
      for (const Tensor& t : detail::tensors_of(dx))
        if (is_real(t.dtype())) gradients.push_back(t);
      return gradients;
    };
    try {
      return detail::with_tensors(
          y, detail::with_rule("custom_vjp", tape, inputs, detail::tensors_of(y), std::move(flat)));
    } catch (...) {
      detail::forget_since(tape, before);
      throw;
    }
  };
}

}  // namespace rw
