#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Masks: 1 where the comparison holds and 0 elsewhere, of the tape's real type, with broadcasting. They have no
// gradient. Comparisons with nan do not hold, but for not_equal.

Tensor equal(Operand a, Operand b);
Tensor not_equal(Operand a, Operand b);
Tensor less(Operand a, Operand b);
Tensor less_equal(Operand a, Operand b);
Tensor greater(Operand a, Operand b);
Tensor greater_equal(Operand a, Operand b);

inline Tensor operator<(Operand a, Operand b) { return less(a, b); }
inline Tensor operator<=(Operand a, Operand b) { return less_equal(a, b); }
inline Tensor operator>(Operand a, Operand b) { return greater(a, b); }
inline Tensor operator>=(Operand a, Operand b) { return greater_equal(a, b); }

// Of masks: whatever is not 0 holds, nan too.

/// Whether both hold.
Tensor logical_and(Operand a, Operand b);
/// Whether one holds, or both.
Tensor logical_or(Operand a, Operand b);
/// Whether one holds and the other does not.
Tensor logical_xor(Operand a, Operand b);
/// Whether x does not hold.
Tensor logical_not(Operand x);

/// a where the mask is not 0, b elsewhere, with broadcasting. The gradient goes to the chosen one. nan and infinities
/// in the other do no harm, nor do infinite slopes on the way to it: `where(x >= 0, x, sqrt(-x))` has slope 1 at 1.
/// (But a matrix product adds 0 times what is not finite: choose before it.) The mask has no gradient.
Tensor where(Operand mask, Operand a, Operand b);

}  // namespace rw
