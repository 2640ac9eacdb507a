#pragma once

#include <string>
#include <vector>

#include "comparison.h"
#include "report.h"

namespace rw::bench {

/// An SVG of all comparisons, a row each: a bar for every contender's time as a multiple of Rewind's (compiled, where
/// it is), from 1, on a log scale; right of 1 is slower than Rewind. Empty when nothing was run.
std::string ratio_chart(const std::vector<Outcome>& outcomes);

/// An SVG of series: a panel each, both axes logarithmic, the slopes (all sizes, the upper half) beside each name.
/// Empty for none.
std::string growth_chart(const std::vector<Series>& series);

}  // namespace rw::bench
