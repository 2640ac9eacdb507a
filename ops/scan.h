#pragma once

#include <rewind/ops/axes.h>

namespace rw {

/// Sums of the elements so far along one axis: [x0, x0 + x1, x0 + x1 + x2, ...]. The running sum is kept in f64. From
/// an element that is nan or infinite on, so are the sums; the gradient is that of a sum, whatever the elements are.
/// Throws Error for an axis that is not there.
Tensor cumsum(Operand x, Axis axis = -1);

}  // namespace rw
