#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

/// x itself; on the way back every element of its gradient is limited to [-limit, limit] (Graves, "Generating sequences
/// with recurrent neural networks", 2013). That makes it another gradient than the derivative: finite differences agree
/// only where nothing is limited. nan passes as nan, forwards and backwards. Throws Error unless the limit is above 0.
Tensor clip_gradient(Operand x, double limit);

}  // namespace rw
