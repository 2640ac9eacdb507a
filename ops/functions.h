#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Elementary functions, elementwise; arithmetic.h brings them along.

/// nan below 0; its gradient at 0 is infinite.
Tensor sqrt(Operand x);
Tensor exp(Operand x);
/// -inf at 0, nan below.
Tensor log(Operand x);
/// Of radians.
Tensor sin(Operand x);
Tensor cos(Operand x);
/// x to the power of a constant: nan below 0 unless it is an integer, 1 when it is 0.
Tensor pow(Operand x, double exponent);
/// a to the power of b, both differentiated. b's gradient is nan below a = 0, and 0 at 0.
Tensor pow(Operand a, Operand b);

}  // namespace rw
