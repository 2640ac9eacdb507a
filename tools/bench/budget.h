#pragma once

// Which comparisons come first, and how much time each is given.

#include <span>
#include <vector>

#include "comparison.h"

namespace rw::bench {

/// A comparison with a number of threads.
struct ComparisonRun {
  const Comparison* comparison;
  int threads;
};

/// What matters most comes first, so that it is there when the time is short: the LSTM's training step and what else
/// the library promises, with one thread; everything else; with all cores what needs them all.
void sort_by_importance(std::vector<ComparisonRun>& entries);

/// About how many seconds a comparison needs at the least, for three rounds, at 130 GFLOP/s a core.
double least_seconds(const ComparisonRun& entry);

/// The seconds for the first of those that are left, the most important first, which need `least` each: what it needs
/// and a part of what would be over if everybody had just that. 0 when it does not fit into `left`, or would take more
/// than a quarter of it from others.
double share(std::span<const double> least, double left);

}  // namespace rw::bench
