#pragma once

// Comparisons: the same work done by several contenders, who run in turn, A B C A B C ..., so that a machine that slows
// down slows all of them.

#include <functional>
#include <string>
#include <vector>

namespace rw::bench {

/// A part of what a contender computed, compared with the same part of the others.
struct Part {
  std::string name;
  std::vector<double> values;
};
using Result = std::vector<Part>;

struct Contender {
  std::string name;
  /// One unit of work, timed.
  std::function<void()> run;
  /// What a run computed; called after the first one. Without it the contender is a yardstick, such as a copy of
  /// memory, whose work is not the same.
  std::function<Result()> result = {};
  /// Called before each turn, not timed.
  std::function<void()> prepare = {};
  /// Measures something other than time, in the comparison's unit, in place of `run`.
  std::function<double()> measure = {};
  /// Where its time goes, as a text.
  std::function<std::string()> profile = {};
};

/// What a comparison is run with.
struct Setting {
  int threads = 1;
  bool quick = false;
  /// A text to train on; empty: the project's own sources.
  std::string text = {};
  /// This program, to be started again.
  std::string program = {};
  /// Those contenders alone whose names contain a match; empty: all.
  std::string contenders = {};
  /// Ask contenders where their time goes.
  bool profile = false;
  /// Whether the user asked to stop.
  std::function<bool()> stopped = {};
};

/// Who takes part, and why others do not.
struct Field {
  std::vector<Contender> contenders;
  std::vector<std::string> absent;
};

struct Comparison {
  /// "train/lstm/T50 N1 I16 H16": the part before the first slash is its group.
  std::string name;
  /// What a row of the table says: "ms", or a rate such as "GFLOP/s".
  std::string unit = "ms";
  /// The number of the unit that a second makes (1e3 for ms), or, for a rate, how many of it one run does.
  double scale = 1e3;
  bool rate = false;
  /// What the table says about the work.
  std::string note = {};
  double tolerance = 1e-3;
  /// FLOPs of one run, and the seconds that the least of all runs takes besides, both roughly: what does not fit into
  /// the time that is left is not begun.
  double work = 0, seconds = 1;
  /// Run with all cores too, or with them only; part of `--quick`; in a series of growing sizes, the number on its x
  /// axis.
  bool all_cores = false, only_all_cores = false, quick = false;
  double size = 0;
  /// What the panel of such a series says.
  std::string series = {};
  /// Contenders come in pairs, with one thread and with all cores: a row's ratio is to its own with one thread.
  bool pairs = false;
  std::function<Field(const Setting&)> make;
};

/// One contender's rounds: seconds a run, or what it measured.
struct Row {
  std::string name;
  bool yardstick = false, measured = false;
  std::vector<double> rounds;

  double median() const;
  double least() const;
  double most() const;
};

struct Outcome {
  const Comparison* comparison = nullptr;
  int threads = 1;
  std::vector<Row> rows;
  std::vector<std::string> absent;
  /// Why there are no rows.
  std::string error;
  /// Seconds, all in all.
  double took = 0;
  /// What contenders say about where their time goes.
  std::vector<std::string> profiles = {};

  /// A time or measurement in the comparison's unit.
  double shown(const Row& row, double value) const;
};

/// Throws std::runtime_error, naming both contenders and the part, when two results are not the same: a part's largest
/// difference may be `tolerance` of its largest value.
void compare(const std::string& a, const Result& expected, const std::string& b, const Result& computed,
             double tolerance);

/// Runs a comparison for about `seconds`: every contender once for its result, then in turn, 3 to 15 rounds (1 when
/// quick), each long enough to be timed; fewer when `stopped`. What goes wrong is in `error`.
Outcome run(const Comparison& comparison, const Setting& setting, double seconds);

}  // namespace rw::bench
