#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Along one axis, counted from the end when negative; the last one is the fast one. None overflows, for any finite
// input: the largest element is taken off first. Throws Error for an axis that is not there.

/// log(sum(exp(x))); -inf over nothing. The axis goes, unless `keepdims` leaves it with length 1.
Tensor logsumexp(Tensor x, int axis = -1, bool keepdims = false);
/// exp(x) / sum(exp(x)).
Tensor softmax(Tensor x, int axis = -1);
/// log(softmax(x)), exact also where softmax is too small to be represented.
Tensor log_softmax(Tensor x, int axis = -1);

}  // namespace rw
