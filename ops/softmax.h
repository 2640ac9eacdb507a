#pragma once

#include <rewind/ops/axes.h>

namespace rw {

// Along one axis, counted from the end when negative; the last one is the fast one. None overflows, for any finite
// input: the largest element is taken off first. -inf, the logarithm of a probability of 0, is an input like others, as
// long as not all are: what is impossible gets no gradient. Throws Error for an axis that is not there.

/// log(sum(exp(x))); -inf over nothing, and where all are -inf; inf where one is inf. The gradient is softmax(x): nan
/// where all are -inf or one is inf, unless dy is 0, which stays 0. The axis goes, unless `keepdims` leaves it with
/// length 1.
Tensor logsumexp(Operand x, Axis axis = -1, bool keepdims = false);
/// exp(x) / sum(exp(x)); 0 for -inf; all nan where all are -inf, and nan for an inf.
Tensor softmax(Operand x, Axis axis = -1);
/// log(softmax(x)), exact also where softmax is too small to be represented; -inf for -inf; all nan where all are
/// -inf, and nan for an inf.
Tensor log_softmax(Operand x, Axis axis = -1);

}  // namespace rw
