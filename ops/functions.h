#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Elementary functions, elementwise; arithmetic.h brings them along. nan gives nan. A dy of 0 gives a gradient of 0,
// also where the slope is infinite or there is none, so that `where` may choose between a function and its limit.

/// nan below 0; the slope is infinite at 0, and 0 at inf.
Tensor sqrt(Operand x);
/// 0 at -inf, inf at inf; so are the slopes.
Tensor exp(Operand x);
/// exp(x) - 1, exact near 0 too: -1 at -inf, with slope 0; inf at inf, with slope inf.
Tensor expm1(Operand x);
/// -inf at 0, with an infinite slope; nan below; inf at inf, with slope 0.
Tensor log(Operand x);
/// log(1 + x), exact near 0 too: -inf at -1, with an infinite slope; nan below; inf at inf, with slope 0.
Tensor log1p(Operand x);
/// Of radians; nan at infinities, and beyond 5.6e14, where doubles stand further apart than 1/16.
Tensor sin(Operand x);
Tensor cos(Operand x);
/// x to the power of a constant, special values as in C: nan below 0 unless it is an integer, 1 when it is 0, for any
/// x, with slope 0. At 0 the slope is infinite for an exponent below 1, and 0 above.
Tensor pow(Operand x, double exponent);
/// a to the power of b, both differentiated, values as in C. b's gradient is nan below a = 0, and 0 at a = 0; a's is 0
/// where b is 0.
Tensor pow(Operand a, Operand b);
/// The largest integer that is not above x; infinities stay. It has no gradient.
Tensor floor(Operand x);
/// The largest power of two that is not above |x|, from 2^-126 to 2^126 in f32, from 2^-1022 to 2^1022 in f64: what x
/// can be divided by and multiplied with exactly, to keep squares from overflowing. It has no gradient.
Tensor power_of_two(Operand x);
/// 1, -1, or 0 at 0 and -0. It has no gradient.
Tensor sign(Operand x);
/// The rest a - b floor(a / b), of b's sign, as Python's %; nan for b = 0 and for an infinite a. a's slope is 1, b's is
/// -floor(a / b); the jumps have none.
Tensor mod(Operand a, Operand b);

}  // namespace rw
