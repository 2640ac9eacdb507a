#pragma once

// What a run of the benchmark found, to be written to a file and read again.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "comparison.h"
#include "settings.h"

namespace rw::bench {

struct Results {
  /// When (UTC, ISO 8601), of which sources, on what machine.
  std::string date, commit;
  Machine machine;
  std::vector<Outcome> outcomes;
  /// The comparisons of outcomes that were read from a file.
  std::deque<Comparison> comparisons;

  Results() = default;
  Results(Results&&) = default;
  Results& operator=(Results&&) = default;
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
};

/// The row of that name; null when there is none.
const Row* row_of(const Outcome& o, std::string_view name);

/// The time now, as `date` has it.
std::string utc_now();

/// Everything, with every round, as a JSON text.
std::string json(const Results& results);
/// What `json` wrote. Throws std::runtime_error when it is something else.
Results from_json(const std::string& text);

}  // namespace rw::bench
