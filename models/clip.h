#pragma once

#include <span>

#include <rewind/models/module.h>

namespace rw {

// Between backward and the optimizer's step. All of these throw Error, naming the parameter, when a gradient is nan or
// infinite; gradients are then as they were. Frozen parameters do not count.

/// The L2 norm of all gradients taken together: the square root of the sum of all squares.
double grad_norm(std::span<const NamedParameter> parameters);

/// Scales all gradients by max_norm / norm when their norm is above `max_norm` (Pascanu, Mikolov and Bengio, 2013).
/// Returns the norm before. Throws Error unless max_norm is above 0.
double clip_grad_norm(std::span<const NamedParameter> parameters, double max_norm);

/// Limits every element of every gradient to [-limit, limit]. Returns the norm before. Throws Error unless limit is
/// above 0.
double clip_grad_value(std::span<const NamedParameter> parameters, double limit);

}  // namespace rw
