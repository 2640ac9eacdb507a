#pragma once

#include <cstddef>
#include <optional>

#include <rewind/autograd/tape.h>

namespace rw {

struct CheckpointOptions {
  /// At most so many bytes: tape, stored states, sums of gradients; the loss on the last state comes on top.
  std::optional<std::size_t> bytes = std::nullopt;
  /// Or: so many states stored at a time, the first one among them, and one block on the tape. At least 1.
  std::optional<Index> states = std::nullopt;
  // With neither: the least memory with which every step is computed twice at most.

  /// Steps that are recorded at a time: see `unroll_in_blocks`.
  Index block = 8;
  /// Compute the gradient of the inputs too.
  bool input_gradient = false;
};

/// How to run over one sequence: see UnrollOptions.
struct CheckpointedRun {
  bool reverse = false;
  std::optional<Array> lengths = std::nullopt;
};

namespace detail {
/// Throws Error for options that make no sense.
void check(const CheckpointOptions& options, const TapeOptions& tape);
}  // namespace detail

}  // namespace rw
