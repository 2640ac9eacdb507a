#pragma once

#include <functional>
#include <utility>

#include "evals.h"

namespace rw::bench::gradbench {

/// Which way a derivative is taken.
enum class Mode { forward, reverse };
/// Of the letters of "fr": the outer and the inner derivative.
std::pair<Mode, Mode> modes_of(std::string_view eval, std::string_view letters);

/// The gradient of a scalar function of a vector: in one reverse sweep, or number by number.
Tensor gradient(Mode mode, const std::function<Tensor(Tensor)>& f, Tensor x);

/// Gradient descent that doubles its step after ten steps that were good and halves it after one that was not
/// (Pearlmutter and Siskind, "Using programming language theory to make automatic differentiation sound and efficient",
/// 2008). `f` gives the value and the gradient.
Numbers descend(const std::function<std::pair<double, Numbers>(const Numbers&)>& f, Numbers x);

}  // namespace rw::bench::gradbench
