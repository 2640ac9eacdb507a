#pragma once

#include <rewind/autograd/compile/budget/halves.h>

namespace rw::ir {

/// What is computed again: of the segments of a graph's forward half the first `segments`, of whose beginnings so many
/// are stored at a time. All else is kept.
struct Recomputed {
  std::uint32_t segments = 0, places = 0;
};

/// The graph with the nodes that compute again what it does not keep, in the order in which they run: the forward half,
/// then segment by segment, the last one first, its forward values and its backward half. The way to a segment whose
/// beginning is not stored is gone as in autograd/binomial_checkpoints.h. The same ops of the same values, so keeps
/// bits; random numbers are keyed, so they are the same, too.
Graph recompute(const Graph& g, const Halves& halves, const Recomputed& what);

}  // namespace rw::ir
