#pragma once

#include <rewind/autograd/tensor.h>
#include <rewind/ops/functions.h>

namespace rw {

// Elementwise, with NumPy broadcasting: shapes are aligned at the last axis, and 1 stretches. The gradient of a
// stretched input is summed back. Shapes that do not broadcast throw Error. Numbers and Parameters may stand for either
// side.

Tensor add(Operand a, Operand b);
Tensor sub(Operand a, Operand b);
Tensor mul(Operand a, Operand b);
/// a / b, as IEEE division: x / 0 is infinite.
Tensor div(Operand a, Operand b);
Tensor neg(Operand x);
Tensor square(Operand x);
/// The gradient at 0 is 0.
Tensor abs(Operand x);
/// The larger and the smaller of each pair, nan when either is; where they are equal each gets half of the gradient.
Tensor maximum(Operand a, Operand b);
Tensor minimum(Operand a, Operand b);
/// x limited to [lo, hi], nan when x is; the gradient is 0 outside and passes at lo and at hi. Throws Error when lo >
/// hi.
Tensor clamp(Operand x, double lo, double hi);

inline Tensor operator+(Operand a, Operand b) { return add(a, b); }
inline Tensor operator-(Operand a, Operand b) { return sub(a, b); }
inline Tensor operator*(Operand a, Operand b) { return mul(a, b); }
inline Tensor operator/(Operand a, Operand b) { return div(a, b); }
inline Tensor operator-(Operand x) { return neg(x); }

}  // namespace rw
