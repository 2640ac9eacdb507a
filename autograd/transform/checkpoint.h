#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <rewind/autograd/transform/arguments.h>

namespace rw {

namespace detail {

/// The values of f, which is called again when their gradient is taken.
std::vector<Tensor> checkpointed(Tape& tape, std::function<std::vector<Tensor>()> f);

/// Whether nothing is there to be forgotten: values are not computed, or f is itself being computed again.
bool keeps_no_values(const Tape& tape);

}  // namespace detail

/// The function f, whose values between argument and result are not kept: the way back computes them once more, to the
/// same bits, random numbers included (Chen et al., "Training deep nets with sublinear memory cost", 2016). Gradients
/// reach the argument, parameters, and whatever else f takes from the tape. f must record the same ops when it is
/// called again, and what it captures must live until then. While `compile` traces it is f itself: the compiler decides
/// what is kept. Throws Error as f does, with the tape as it was.
template <class F>
auto checkpoint(F f) {
  return [f = std::move(f)]<class X>(const X& x) {
    using Y = std::remove_cvref_t<decltype(detail::call(f, x))>;
    Tape& tape = detail::tape_of("checkpoint", x);
    if (detail::keeps_no_values(tape)) return Y(detail::call(f, x));
    auto like = std::make_shared<std::optional<Y>>();
    const std::vector<Tensor> values = detail::checkpointed(tape, [f, x, like] {
      Y y = detail::call(f, x);
      std::vector<Tensor> flat = detail::tensors_of(y);
      like->emplace(std::move(y));
      return flat;
    });
    return detail::with_tensors(std::move(**like), values);
  };
}

}  // namespace rw
