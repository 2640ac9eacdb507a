#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Elementwise nonlinearities. All are stable: no overflow and no nan for any number but nan, infinities among them,
// where values and slopes are the limits. nan gives nan. A dy of 0 gives a gradient of 0 everywhere.

/// -1 at -inf, 1 at inf; the slope there is 0.
Tensor tanh(Operand x);
/// 1 / (1 + exp(-x)): 0 at -inf, 1 at inf; the slope there is 0.
Tensor sigmoid(Operand x);
/// log(sigmoid(x)), exact also where sigmoid is 0 or 1 to all digits: x far below 0, with slope 1; -inf at -inf; 0,
/// with slope 0, at inf.
Tensor log_sigmoid(Operand x);
/// max(x, 0), nan for nan; the gradient at 0 is 0.
Tensor relu(Operand x);
/// x above 0, slope * x below (Maas et al., 2013); at 0 the gradient is the slope.
Tensor leaky_relu(Operand x, double slope = 0.01);
/// log(1 + exp(x)), smooth relu (Dugas et al., 2001): 0 at -inf, with slope 0, and inf at inf, with slope 1.
Tensor softplus(Operand x);
/// x Phi(x), with the exact normal distribution function Phi (Hendrycks and Gimpel, 2016): 0 at -inf, with slope 0, and
/// inf at inf, with slope 1.
Tensor gelu(Operand x);
/// The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x: -1 at -inf, 1 at inf, with slope 0.
Tensor erf(Operand x);
/// The standard normal distribution: its density phi(x) = exp(-x^2 / 2) / sqrt(2 pi), and the probability Phi(x) of a
/// number below x, also where it is tiny. At infinities the slopes are 0.
Tensor normal_pdf(Operand x);
Tensor normal_cdf(Operand x);

}  // namespace rw
