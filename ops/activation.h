#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Elementwise nonlinearities. All are stable: no overflow and no nan for any finite input.

Tensor tanh(Operand x);
/// 1 / (1 + exp(-x)).
Tensor sigmoid(Operand x);
/// max(x, 0), nan for nan; the gradient at 0 is 0.
Tensor relu(Operand x);
/// x above 0, slope * x below (Maas et al., 2013).
Tensor leaky_relu(Operand x, double slope = 0.01);
/// log(1 + exp(x)), smooth relu (Dugas et al., 2001).
Tensor softplus(Operand x);
/// x Phi(x), with the exact normal distribution function Phi (Hendrycks and Gimpel, 2016).
Tensor gelu(Operand x);
/// The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.
Tensor erf(Operand x);
/// The standard normal distribution: its density phi(x) = exp(-x^2 / 2) / sqrt(2 pi), and the probability Phi(x) of a
/// number below x, also where it is tiny.
Tensor normal_pdf(Operand x);
Tensor normal_cdf(Operand x);

}  // namespace rw
