#pragma once

// Contenders side by side: run in turn, A B C A B C ..., so that a machine that slows down slows all of them.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace rw::bench {

struct Contender {
  std::string name;
  /// One step; returns a number that must be the same for all contenders: what was computed.
  std::function<double()> step;
};

struct Timing {
  std::string name;
  double best = 0, median = 0, worst = 0;  // seconds a step
};

/// Runs each contender `rounds` times in turn, every round long enough to be timed, after one round that is not
/// counted. Throws std::runtime_error when two contenders compute different things. With `rest`, every round begins
/// after a pause: threads of OpenMP spin for a while when their work is done, and would slow the next contender.
inline std::vector<Timing> contest(const std::vector<Contender>& contenders, int rounds = 9,
                                   double seconds_a_round = 0.02, double tolerance = 1e-3,
                                   std::chrono::milliseconds rest = {}) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  std::vector<int> repeats;
  const double expected = contenders.front().step();
  for (const Contender& c : contenders) {
    const double computed = c.step();
    if (std::abs(computed - expected) > tolerance * (1 + std::abs(expected)))
      throw std::runtime_error(fmt::format("{} computes {}, but {} computes {}: not the same work", c.name, computed,
                                           contenders.front().name, expected));
    const auto start = Clock::now();
    c.step();
    repeats.push_back(std::clamp(static_cast<int>(seconds_a_round / seconds(Clock::now() - start)), 1, 10000));
  }
  std::vector<std::vector<double>> times(contenders.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      if (rest.count() > 0) {
        std::this_thread::sleep_for(rest);
        contenders[i].step();
      }
      const auto start = Clock::now();
      for (int r = 0; r < repeats[i]; ++r) contenders[i].step();
      times[i].push_back(seconds(Clock::now() - start) / repeats[i]);
    }
  }
  std::vector<Timing> out;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::vector<double>& t = times[i];
    std::sort(t.begin(), t.end());
    out.push_back({contenders[i].name, t.front(), t[t.size() / 2], t.back()});
  }
  return out;
}

/// Prints a table: median, spread, and the first contender's median over each one's.
inline void print(const std::string& title, const std::vector<Timing>& timings, double scale, const char* unit) {
  fmt::print("{}\n", title);
  std::fflush(stdout);
  for (const Timing& t : timings)
    fmt::print("  {:<28} {:>10.3f} {}   ({:.3f} to {:.3f})   {} / this: {:.3f}\n", t.name, t.median * scale, unit,
               t.best * scale, t.worst * scale, timings.front().name, timings.front().median / t.median);
}

}  // namespace rw::bench
