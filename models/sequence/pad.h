#pragma once

#include <span>

#include <rewind/core/array.h>

namespace rw {

/// Sequences of unequal length as one batch.
struct PaddedBatch {
  Array values;   // [T, N, ...], 0 in the padding
  Array lengths;  // i32 [N]
};

/// N sequences [length, ...], each of its own length (0 too), in the order given, padded to `steps` (0: to the longest
/// one). A compiled function has one plan for all batches of one shape, so few different `steps` are best: see
/// `bucket`. Throws Error, naming the sequence, when it has other features or another type than the first, or is longer
/// than `steps`; and for no sequences.
PaddedBatch pad_sequences(std::span<const Array> sequences, Index steps = 0);

}  // namespace rw
