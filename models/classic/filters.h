#pragma once

#include <rewind/autograd/tape.h>

namespace rw {

// Linear filters of a sequence x [T, N, D] (Oppenheim and Schafer, 1975), each feature by itself, from silence: what
// was before the first step is 0. A finite impulse response is a convolution, an infinite one is a recurrence.

/// y(t) = b0 x(t) + b1 x(t-1) + ... + b(K-1) x(t-K+1), for taps b [K]. [T, N, D]. That is a causal
/// convolution whose kernel is b backward (ops/conv.h), or a network without a memory over `windows`. Throws Error for
/// x or taps of another rank, and for no taps.
Tensor fir(Tensor x, Operand taps);

/// y(t) = b0 x(t) + ... + b(K-1) x(t-K+1) - a1 y(t-1) - ... - aM y(t-M), for forward taps b [K] and feedback taps a =
/// [a1 ... aM], as SciPy's lfilter has them without its leading a0 = 1. With one feedback tap it is a parallel scan
/// (linear_recurrence), with more a loop over the steps. Throws Error as `fir` does.
Tensor iir(Tensor x, Operand taps, Operand feedback);

}  // namespace rw
