#pragma once

#include <rewind/autograd/tensor.h>
#include <rewind/ops/functions.h>

namespace rw {

// Elementwise, with NumPy broadcasting: shapes are aligned at the last axis, and 1 stretches. The gradient of a
// stretched input is summed back. Shapes that do not broadcast throw Error. Numbers and Parameters may stand for either
// side. Values are IEEE's: nan gives nan, inf - inf and 0 * inf and 0 / 0 are nan. A dy of 0 gives gradients of 0,
// whatever a and b are.

Tensor add(Operand a, Operand b);
Tensor sub(Operand a, Operand b);
Tensor mul(Operand a, Operand b);
/// a b, but 0 where either is 0, whatever the other is: 0 times infinity and 0 times nan are 0. What gradient rules
/// multiply dy with: a dy that is 0 because a branch was not chosen gives 0, though the slope there be infinite. Its
/// own gradients are times0 again.
Tensor times0(Operand a, Operand b);
/// x / 0 is infinite, and so is its slope.
Tensor div(Operand a, Operand b);
Tensor neg(Operand x);
Tensor square(Operand x);
/// The gradient at 0 and at nan is 0.
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

// `total += x` makes a new node: total is another handle then, and what was computed from the old one stays.
/// a = add(a, b).
inline Tensor& operator+=(Tensor& a, Operand b) { return a = add(a, b); }
/// a = sub(a, b).
inline Tensor& operator-=(Tensor& a, Operand b) { return a = sub(a, b); }
/// a = mul(a, b).
inline Tensor& operator*=(Tensor& a, Operand b) { return a = mul(a, b); }
/// a = div(a, b).
inline Tensor& operator/=(Tensor& a, Operand b) { return a = div(a, b); }

}  // namespace rw
