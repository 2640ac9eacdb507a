#pragma once

// Internal to models/classic/.

#include <string>
#include <vector>

#include <rewind/core/dtype.h>

namespace rw::detail {

/// Linear equations: rows of taps, each ending in a 1 for the constant, and of values.
struct LinearEquations {
  Index rows = 0, columns, outputs;
  std::vector<double> taps = {}, values = {};

  /// The weights w and, as their last row, the constants, [columns, outputs], of least squared errors + ridge |w|^2.
  /// Throws Error, beginning with `who`, for a negative ridge, and for fewer rows than columns without one.
  std::vector<double> solved(const std::string& who, double ridge) const;
  /// Of such weights.
  double mean_square_error(const std::vector<double>& weights) const;
};

}  // namespace rw::detail
