#pragma once

#include <cstddef>
#include <optional>

#include <rewind/autograd/binomial_checkpoints.h>
#include <rewind/autograd/tape.h>

namespace rw {

/// What a CheckpointedBptt does with a sequence of some length.
struct CheckpointPlan {
  Index segment = 0;      // steps that are on the tape together
  Index segments = 0;     // in the sequence
  Index places = 0;       // states stored at a time
  double recomputed = 0;  // steps that are computed without a gradient, over the steps of the sequence
  std::size_t bytes = 0;  // that this takes, when it was measured
};

namespace detail {

/// Bytes that a tape uses at its peak; of its own memory, and nothing of the parameters' sums.
struct TapeUse {
  double values = 0, gradients = 0, records = 0, nodes = 0;

  static TapeUse of(const Tape& tape);
  /// For `blocks` blocks of steps, when *this is for one and `two` for two.
  TapeUse extrapolated(const TapeUse& two, double blocks) const;
  /// Bytes held for it: arenas grow by a quarter.
  double held() const;
};

struct CheckpointSizes {
  Index steps = 0, block = 1;           // of the sequence, of what is recorded at a time
  double state = 0, fixed = 0;          // bytes of a stored state, and of what is there in any case
  TapeUse one_block{};                  // of the tape
  std::optional<TapeUse> two_blocks{};  // where it matters

  TapeUse blocks(Index count) const {
    return one_block.extrapolated(two_blocks.value_or(one_block), static_cast<double>(count));
  }
  /// Bytes for so many blocks on the tape and no stored state.
  double held(Index count) const { return fixed + blocks(count).held(); }
};

/// The plan that stores `places` states and records one block at a time.
CheckpointPlan plan_with_places(Index steps, Index block, Index places);
/// The quickest plan within `bytes`. Throws Error, saying the least there must be, when there is none.
CheckpointPlan plan_within(const CheckpointSizes& sizes, std::size_t bytes);
/// The plan of least memory among those that compute every step twice at most.
CheckpointPlan plan_smallest(const CheckpointSizes& sizes);
/// Makes room for the nodes of `use`, exactly.
void reserve_nodes(Tape& tape, const TapeUse& use);

}  // namespace detail

}  // namespace rw
