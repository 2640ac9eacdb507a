#pragma once

#include <string>
#include <vector>

#include "comparison.h"

namespace rw::bench {

/// A table in Markdown for each group of comparisons and number of threads: a line a comparison, a column a contender,
/// the median with the least and the most; then times of Rewind as parts of those of its main peers. Where contenders
/// come in pairs: both medians and their ratio. Last, a table of the slopes of growing sizes.
std::string markdown(const std::vector<Outcome>& outcomes);

}  // namespace rw::bench
