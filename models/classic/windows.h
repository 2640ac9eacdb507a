#pragma once

#include <rewind/autograd/tape.h>

namespace rw {

/// Delay taps: at each position from the k-th on the last k values side by side, the oldest first. x [T, N, D] gives
/// [T - k + 1, N, k * D]; what any feed-forward net takes in place of a memory (time-delay networks: Waibel et al.,
/// 1989). For positions before the k-th too, pad x with zeros in front. Throws Error for x of another rank, k below 1,
/// and fewer values than taps.
Tensor windows(Tensor x, Index k);

}  // namespace rw
