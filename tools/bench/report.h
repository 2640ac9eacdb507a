#pragma once

#include <string>
#include <vector>

#include "comparison.h"

namespace rw::bench {

/// Prints one comparison: a line a contender with its median, its spread, and what part of its time Rewind's take.
void print(const Outcome& outcome);

/// The line of the power law y = a x^slope that fits best, by least squares on logarithms.
double fitted_slope(const std::vector<double>& x, const std::vector<double>& y);

/// One contender's medians over the sizes of a series.
struct Curve {
  std::string name;
  std::vector<double> x, y;
};
/// A group of comparisons that differ in size alone: "growth/lstm/T".
struct Series {
  std::string name, unit, what;
  std::vector<Curve> curves;

  std::string title() const { return what.empty() ? name + ", " + unit : what; }
};
/// The slope over the upper half of the sizes.
double upper_slope(const Curve& curve);
/// The series among the outcomes: comparisons with a size, whose names begin alike, up to the last slash.
std::vector<Series> series(const std::vector<Outcome>& outcomes);
/// Prints a table: a line a size, the slope last.
void print(const Series& series);

/// With four digits or so; the least and the most of a row's rounds, in the comparison's unit.
std::string number(double x);
std::string spread(const Outcome& outcome, const Row& row);

}  // namespace rw::bench
