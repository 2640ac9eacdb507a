#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/view.h>

#include "../golden_text.h"

namespace rw::test {

/// The largest difference of numbers that must be as many.
inline double distance(const Array& a, std::span<const double> b) {
  const std::vector<double> found = a.to_vector<double>();
  REQUIRE(found.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i) most = std::max(most, std::abs(found[i] - b[i]));
  return most;
}
inline double distance(const Array& a, const Array& b) { return distance(a, b.to_vector<double>()); }

/// A line of tests/golden/classic.txt, which tests/golden/classic.py wrote.
inline const std::vector<double>& golden(const std::string& name) {
  static const auto all = golden_text("classic.txt");
  return all.at(name);
}

}  // namespace rw::test
