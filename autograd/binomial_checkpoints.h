#pragma once

#include <functional>

#include <rewind/autograd/tape.h>

namespace rw {

// Which states a backward through a long sequence stores, and which it computes again: binomial checkpointing
// (Griewank, 1992; Griewank and Walther, "Algorithm 799: revolve", 2000; for recurrent networks Gruslys et al., 2016).
// The sequence is `length` segments in a row; with `places` states stored at a time, the first segment's among them,
// the last segment can be recorded and gone backward through, then the one before it, and so on.

/// The fewest segments that are computed only to come to a later one, of all schedules: r length - C(places + r, r - 1)
/// for the smallest r with C(places + r, r) >= length. Both are at least 1.
double checkpoint_cost(Index length, Index places);

/// How far to go on before the next state is stored, in a best schedule, from a state that is stored; both at least 2.
Index checkpoint_distance(Index length, Index places);

/// What the schedule asks for. There is one current state.
struct CheckpointActions {
  /// The current state, that of the beginning of segment `from`, becomes that of `to`.
  std::function<void(Index from, Index to)> advance;
  /// Copies the current state to a place, or back.
  std::function<void(Index place)> store, load;
  /// Records the segment that begins with the current state, and goes backward through it.
  std::function<void(Index segment)> reverse;
};

/// Runs a best schedule: `reverse` comes for every segment once, the last one first. The current state is the first
/// segment's when it begins.
void run_checkpoints(Index length, Index places, const CheckpointActions& actions);

}  // namespace rw
