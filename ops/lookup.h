#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Indices are i32 tensors: `tape.constant(Array(std::vector<std::int32_t>{...}))`. One outside its range throws Error,
// naming it and its position, before anything is recorded. Numbers are copied whatever they are, nan and infinities
// too.

/// Rows of a table, [V, E], by number, [...]: [..., E]. The gradient of a row is the sum over the places that took it,
/// first to last.
Tensor lookup(Operand table, Operand indices);

/// One element of each row: x [..., C] and indices [...] give x[..., indices[...]], of shape [...].
Tensor pick(Operand x, Operand indices);

/// 1 at each index and 0 elsewhere: indices [...] give [..., classes], real. It has no gradient.
Tensor one_hot(Operand indices, Index classes);

/// 1 at the largest element of each row, the first one of several, and 0 elsewhere: x [..., C] gives [..., C]. What
/// one_hot is to an index, so that `matmul(hardmax(logits), table)` looks up the likeliest symbol without leaving the
/// graph. nan is larger than anything. It has no gradient.
Tensor hardmax(Operand x);

}  // namespace rw
