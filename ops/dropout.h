#pragma once

#include <cstdint>

#include <rewind/autograd/tape.h>

namespace rw {

// Keyed randomness: the numbers depend on the tape's seed, on how many draws were made before on the tape, and on the
// tape's step, and on nothing else: not on the element type, the number of threads, or whether values are computed
// eagerly, recomputed or by a compiled plan.

/// Each element 0 with probability `rate` and 1 otherwise. One draw; reuse the mask for the same choice at every step
/// (variational dropout, zoneout). No gradient. Throws Error for a rate outside [0, 1].
Tensor bernoulli_mask(Tape& tape, const Shape& shape, double rate);

/// The same with 1 / (1 - rate) in place of 1, so that the mean of `x * mask` is x. Throws Error for a rate outside
/// [0, 1).
Tensor dropout_mask(Tape& tape, const Shape& shape, double rate);

/// The same mask whenever it is asked for with this key and shape at one step of the tape, over all of a sequence and
/// whatever was drawn in between; at the next step of the tape it is another one (variational dropout). It does not
/// count as a draw.
Tensor dropout_mask(Tape& tape, const Shape& shape, double rate, std::uint64_t key);

/// x * dropout_mask(x.tape(), x.shape(), rate) (Srivastava et al., 2014). A rate of 0 is x itself and draws nothing.
/// What is infinite and dropped is nan; a dy of 0 gives 0. Throws Error for a rate outside [0, 1).
Tensor dropout(Operand x, double rate);

}  // namespace rw
