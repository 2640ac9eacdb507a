#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

// Batches of sequences of unequal length are padded to T steps, time-major. `lengths` are indices (i32) [N], from 0 to
// T, in any order; one outside is an Error that names it.

/// 1 where step t belongs to sequence n (t < lengths[n]) and 0 in its padding: [T, N], followed by axes of length 1 up
/// to `rank`, so that it broadcasts. As `LossOptions::weights` it masks a loss. It has no gradient.
Tensor sequence_mask(Tensor lengths, Index steps, int rank = 2);

/// x [T, N, ...], reals or indices, with 0 in the padding, whatever was there, nan too. No gradient reaches the
/// padding.
Tensor clear_padding(Operand x, Tensor lengths);

/// The lengths [N] that sequences have within steps [from, from + count) of their `steps`, to run over them part by
/// part.
Tensor lengths_within(Tensor lengths, Index steps, Index from, Index count);

}  // namespace rw
