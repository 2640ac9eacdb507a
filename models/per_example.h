#pragma once

#include <utility>
#include <vector>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/autograd/transform/vmap.h>

namespace rw {

/// The gradient of each example's own loss, by the parameters that all of them share: for each parameter [N, ...].
/// `loss` takes the arguments of one example, in which the axis along which examples stand (`in`, as vmap has it) has
/// length 1, so that a model written for batches serves as it is, and gives a scalar. Equal to N gradients of one
/// example each. Random numbers are the same for every example. Recorded, and can be compiled.
///
///     auto g = per_example_gradients([&](Tensor x, Tensor y) { return loss_of(net, x, y); },
///                                    ParameterList(tape, net.parameters()), {1, 0}, x, y);
template <class F, class... X>
std::vector<Tensor> per_example_gradients(F loss, const ParameterList& parameters, std::vector<int> in, const X&... x) {
  const auto one = [&](const X&... part) { return value_and_grad([&] { return loss(part...); }, parameters).second; };
  return vmap(one, {.in = std::move(in), .keep_axis = true})(x...);
}

namespace detail {
/// The norm, example by example, of all `gradients` of one example together; ends the mapping.
Tensor norms(Tape& tape, const std::vector<Tensor>& gradients, Mapping& mapping);
}  // namespace detail

/// The Euclidean norm of each example's gradient over all parameters together, [N], without making the gradients where
/// a parameter is only multiplied: the norm of sum_t x_t' dz_t is that of the products of the x_t among themselves and
/// of the dz_t among themselves (Goodfellow, "Efficient per-example gradient computations", 2015; for sequences Li et
/// al., "Large language models can be strong differentially private learners", 2022).
template <class F, class... X>
Tensor per_example_norms(F loss, const ParameterList& parameters, std::vector<int> in, const X&... x) {
  const VmapOptions options{.in = std::move(in), .out = 0, .keep_axis = true};
  Tape& tape = parameters.tape();
  const TapeMark before = tape.mark();
  try {
    detail::Mapping mapping(tape, options);
    std::size_t argument = 0;
    ((detail::walk(
          x, [&](const Tensor& t) { mapping.add(t, argument); }, [](const ParameterList&) {}),
      ++argument),
     ...);
    const std::vector<Tensor> inputs = mapping.begin();
    detail::TensorSource source(inputs);
    const std::tuple<X...> part{detail::tangents_of(x, source)...};
    const auto one = [&] { return value_and_grad([&] { return std::apply(loss, part); }, parameters).second; };
    return detail::norms(tape, one(), mapping);
  } catch (...) {
    tape.data().truncate(before);
    throw;
  }
}

}  // namespace rw
