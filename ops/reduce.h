#pragma once

#include <rewind/ops/axes.h>

namespace rw {

// Reductions: over everything, or over one axis or several, which go unless `keepdims` leaves them with length 1.
// Axes are counted from the end when negative. Throws Error for an axis that is not there.

/// The sum; 0 over nothing. The order of the sum depends on the shapes alone.
Tensor sum(Tensor x);
Tensor sum(Tensor x, const Axes& axes, bool keepdims = false);

/// The mean; nan over nothing.
Tensor mean(Tensor x);
Tensor mean(Tensor x, const Axes& axes, bool keepdims = false);

/// The largest; nan when there is one. Where several are the largest, each gets an equal part of the gradient (as
/// PyTorch's amax and JAX do it). Throws Error over nothing.
Tensor max(Tensor x);
Tensor max(Tensor x, const Axes& axes, bool keepdims = false);
/// The smallest, likewise.
Tensor min(Tensor x);
Tensor min(Tensor x, const Axes& axes, bool keepdims = false);

}  // namespace rw
