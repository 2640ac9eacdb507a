#pragma once

#include <span>

#include <rewind/models/module.h>

namespace rw {

// Between backward and the optimizer's step. All of these throw Error, naming the parameter, when a gradient is nan or
// infinite; gradients are then as they were. Frozen parameters do not count, and a tied one counts once, however often
// it is listed.

/// The L2 norm of all gradients taken together: the square root of the sum of all squares.
double grad_norm(std::span<const NamedParameter> parameters);

/// Scales all gradients by max_norm / norm when their norm is above `max_norm` (Pascanu, Mikolov and Bengio, 2013).
/// Returns the norm before. Throws Error unless max_norm is above 0.
double clip_grad_norm(std::span<const NamedParameter> parameters, double max_norm);

/// Limits every element of every gradient to [-limit, limit]. Returns the norm before. Throws Error unless limit is
/// above 0.
double clip_grad_value(std::span<const NamedParameter> parameters, double limit);

/// From sums over time to means. A weight that is used in each of T steps has the gradient dL/dW = sum_t dL/dW_t, where
/// W_t is the weight as step t uses it; this makes it (1/T) sum_t dL/dW_t, so that its size, and what clipping does to
/// it, does not grow with the length. `uses` is T: of a cell the steps that were unrolled, of a layer that is applied
/// once 1, which changes nothing. (A loss that is a mean over steps has divided by their number already.) Throws Error
/// unless it is at least 1; unlike the others above, not for a gradient that is no number.
void mean_over_uses(std::span<const NamedParameter> parameters, Index uses);

}  // namespace rw
