#pragma once

#include <string>
#include <vector>

#include "contest.h"
#include "settings.h"

namespace rw::bench {

/// Prints one contest: a line a contender with its median, its spread, and what part of its time Rewind's take.
void print(const Outcome& outcome);

/// The line of the power law y = a x^slope that fits best, by least squares on logarithms.
double fitted_slope(const std::vector<double>& x, const std::vector<double>& y);

/// One contender's medians over the sizes of a series.
struct Curve {
  std::string name;
  std::vector<double> x, y;
};
/// A group of contests that differ in size alone: "growth/lstm/T".
struct Series {
  std::string name, unit;
  std::vector<Curve> curves;
};
/// The series among the outcomes: contests with a size, whose names begin alike, up to the last slash.
std::vector<Series> series(const std::vector<Outcome>& outcomes);
/// Prints a table: a line a size, the slope last.
void print(const Series& series);

/// A table in Markdown for each group: a line a contest, a column a contender, the median with the least and the most;
/// last, Rewind's best as a part of the best peer's time.
std::string markdown(const std::vector<Outcome>& outcomes);

/// Everything, with every round, as a JSON text. `commit` says which sources.
std::string json(const std::vector<Outcome>& outcomes, const Machine& machine, const std::string& commit);

}  // namespace rw::bench
