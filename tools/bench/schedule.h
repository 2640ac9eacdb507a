#pragma once

// Which contests come first, and how much time each is given.

#include <span>
#include <vector>

#include "contest.h"

namespace rw::bench {

/// A contest with a number of threads.
struct Entry {
  const Contest* contest;
  int threads;
};

/// What matters most comes first, so that it is there when the time is short: the LSTM's training step and what else
/// the library promises, with one thread; everything else; with all cores what needs them all.
void sort_by_importance(std::vector<Entry>& entries);

/// About how many seconds a contest needs at the least, for three rounds, at 130 GFLOP/s a core.
double least_seconds(const Entry& entry);

/// The seconds for the first of those that are left, the most important first, which need `least` each: what it needs
/// and a part of what would be over if everybody had just that. 0 when it does not fit into `left`, or would take more
/// than a quarter of it from others.
double share(std::span<const double> least, double left);

}  // namespace rw::bench
