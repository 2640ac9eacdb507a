#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

struct MatMulOptions {
  /// Take a, b transposed: their last two axes swapped.
  bool transpose_a = false, transpose_b = false;
};

/// Matrix product. a is [..., m, k], b is [k, n] (one matrix for all of a) or [..., k, n] with the same leading axes (a
/// product for each); the result is [..., m, n]. With a of rank 3 or more and b a matrix, leading axes of a count as
/// rows; then a cannot be transposed. Throws Error when the inner lengths differ, naming both shapes, or for ranks
/// below 2. Sums of products are IEEE's: 0 times what is not finite is nan, in the value and in gradients, where a dy
/// of 0 meets it; so choose with `where` before a product.
Tensor matmul(Operand a, Operand b, const MatMulOptions& options = {});

}  // namespace rw
