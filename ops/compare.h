#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Masks: 1 where the comparison holds and 0 elsewhere, of the tape's real type, with broadcasting. They have no
// gradient.

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

/// a where the mask is not 0, b elsewhere, with broadcasting. The gradient goes to the chosen one; nan in the other
/// does no harm. The mask has no gradient.
Tensor where(Operand mask, Operand a, Operand b);

}  // namespace rw
