#pragma once

#include <optional>

#include <rewind/autograd/tape.h>
#include <rewind/models/sequence/layer.h>

namespace rw::detail {

/// A long sequence in the order of a run over it, in blocks: position p is step p or, in reverse, step T - 1 - p.
struct CheckpointSequence {
  ConstView x;                         // [T, N, ...], contiguous
  std::optional<ConstView> lengths{};  // i32 [N]
  bool reverse = false;
  Index block = 1;

  Index steps() const { return x.shape[0]; }
  /// Where the block ends that begins at `position`.
  Index end(Index position) const { return position + block < steps() ? position + block : steps(); }
  /// The step at a position.
  Index step(Index position) const { return reverse ? steps() - 1 - position : position; }

  /// The inputs of the block that begins at `position`; the same part of another array of x's shape.
  ConstView inputs(Index position) const;
  View part(View of, Index position) const;
  /// How to run over that block, with its lengths on `tape`.
  UnrollOptions options(Tape& tape, Index position) const;

 private:
  Index first_step(Index position) const { return reverse ? steps() - end(position) : position; }
};

/// Throws Error unless x is [T, batch, ...], contiguous, and lengths are i32 [batch] from 0 to
/// T.
void check(const CheckpointSequence& sequence, Index batch, bool input_gradient);
/// The values of x. Throws Error while compile traces.
ConstView values_to_checkpoint(Tensor x);
void refuse_trace(bool tracing);

}  // namespace rw::detail
