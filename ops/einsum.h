#pragma once

#include <string_view>

#include <rewind/autograd/tensor.h>

namespace rw {

/// The product of each number of a with each of b: shapes [m], [n] give [m, n]; more axes follow each other.
Tensor outer(Operand a, Operand b);

/// Einstein's sum over two operands, as NumPy's: a letter for each axis, and those of the result behind the arrow.
/// `einsum("nij,nj->ni", a, b)` is a product of each matrix with its vector. A letter that both have is one length;
/// what is not in the result is summed. The sums are a matrix product, so that 0 times what is not finite is nan, also
/// in the gradients. Throws Error for a text that says something else, a letter twice in one operand (a diagonal), and
/// lengths that differ.
Tensor einsum(std::string_view text, Operand a, Operand b);

}  // namespace rw
