#pragma once

// Internal to models/classic/.

#include <string>
#include <vector>

#include <rewind/core/dtype.h>

namespace rw::detail {

/// Linear equations: rows of taps, each ending in a 1 for the constant, if there is one, and of values.
struct LinearEquations {
  Index rows = 0, columns, outputs;
  bool constant = true;
  std::vector<double> taps = {}, values = {};

  /// The weights w and, as their last row, the constants, [columns, outputs], of least squared errors + ridge |w|^2.
  /// Ridge regression: Hoerl and Kennard (1970). Throws Error, beginning with `who`, for a negative ridge, numbers that
  /// are not finite, and for fewer rows than columns without a ridge.
  std::vector<double> solved(const std::string& who, double ridge) const;
  /// Of such weights.
  double mean_square_error(const std::vector<double>& weights) const;
};

}  // namespace rw::detail
