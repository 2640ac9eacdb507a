#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/gemm/factor.h>
#include <rewind/models/classic/ridge.h>

namespace rw::detail {

std::vector<double> LinearEquations::solved(const std::string& who, double ridge) const {
  if (!(ridge >= 0)) throw Error(fmt::format("{}: a ridge of {}: it must be 0 or more", who, ridge));
  for (const std::vector<double>* part : {&taps, &values})
    if (!std::all_of(part->begin(), part->end(), [](double x) { return std::isfinite(x); }))
      throw Error(fmt::format("{}: a value is not finite: least squares need numbers", who));
  LinearEquations all = *this;
  const Index weights = constant ? columns - 1 : columns;
  for (Index i = 0; ridge > 0 && i < weights; ++i, ++all.rows) {  // sqrt(ridge) w = 0
    all.taps.resize(static_cast<std::size_t>((all.rows + 1) * columns));
    all.taps[static_cast<std::size_t>(all.rows * columns + i)] = std::sqrt(ridge);
    all.values.resize(static_cast<std::size_t>((all.rows + 1) * outputs));
  }
  if (all.rows < columns)
    throw Error(fmt::format("{}: {} equations for {} unknowns: give a longer series, fewer unknowns or a ridge", who,
                            rows, columns));
  return least_squares(all.rows, columns, outputs, all.taps.data(), all.values.data());
}

double LinearEquations::mean_square_error(const std::vector<double>& weights) const {
  double square = 0;
  for (Index r = 0; r < rows; ++r)
    for (Index o = 0; o < outputs; ++o) {
      double error = -values[static_cast<std::size_t>(r * outputs + o)];
      for (Index c = 0; c < columns; ++c)
        error += taps[static_cast<std::size_t>(r * columns + c)] * weights[static_cast<std::size_t>(c * outputs + o)];
      square += error * error;
    }
  return square / static_cast<double>(rows * outputs);
}

}  // namespace rw::detail
