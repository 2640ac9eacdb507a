#include "comparison.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <regex>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

namespace rw::bench {

namespace {

// With one thread, the processor time of the process, so that other programs count as little as they can; with more,
// the time that passes.
double now(int threads) {
  timespec t{};
  clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double clock_on_the_wall() { return now(2); }

struct Stopped : std::exception {};

double seconds_of(const Contender& c, int repeats, int threads) {
  const double start = now(threads);
  for (int i = 0; i < repeats; ++i) c.run();
  return (now(threads) - start) / repeats;
}

class Race {
 public:
  Race(const Comparison& comparison, const Setting& setting, double seconds)
      : threads_(setting.threads),
        quick_(setting.quick),
        seconds_(seconds),
        end_(clock_on_the_wall() + seconds),
        round_(setting.quick         ? 0.002
               : setting.threads > 1 ? 0.06
                                     : 0.02),
        comparison_(comparison),
        setting_(setting) {}

  void run(const Field& field, Outcome& out) {
    const std::vector<Contender> contenders = first_runs(field.contenders, out.absent);
    for (const Contender& c : contenders) out.rows.push_back({c.name, !c.result && !c.measure, bool(c.measure), {}});
    const int rounds = this->rounds();
    for (int round = 0; round < rounds; ++round) {
      std::vector<double> turns;
      for (std::size_t i = 0; i < contenders.size() && !stopped(); ++i) turns.push_back(timed(contenders[i], i));
      if (turns.size() < contenders.size()) break;
      for (std::size_t i = 0; i < turns.size(); ++i) out.rows[i].rounds.push_back(turns[i]);
    }
    if (!out.rows.empty() && out.rows[0].rounds.empty()) throw Stopped();
    for (const Contender& c : contenders)
      if (setting_.profile && c.profile) out.profiles.push_back(c.name + ":\n" + c.profile());
  }

 private:
  // Compares results, and finds out how long a run takes. Gives those who are not too slow.
  std::vector<Contender> first_runs(const std::vector<Contender>& contenders, std::vector<std::string>& absent) {
    std::vector<Contender> in_time;
    const Contender* first = nullptr;
    Result expected;
    for (const Contender& c : contenders) {
      if (stopped()) throw Stopped();
      double once = c.measure ? 0 : first_run(c);
      if (c.result && first == nullptr)
        expected = c.result(), first = &c;
      else if (c.result)
        compare(first->name, expected, c.name, c.result(), comparison_.tolerance);
      if (once > std::max(seconds_ / 3, patience)) {
        absent.push_back(fmt::format("{}: over the budget, one run takes {:.1f} s", c.name, once));
        continue;
      }
      if (!c.measure && once < seconds_ / 20) once = std::min(once, seconds_of(c, 1, threads_));  // it built plans
      in_time.push_back(c);
      repeats_.push_back(c.measure ? 1 : std::clamp(static_cast<int>(round_ / std::max(once, 1e-9)), 1, 100000));
      turn_ += c.measure ? seconds_ : once * (repeats_.back() + 1);
    }
    return in_time;
  }

  double first_run(const Contender& c) const {
    begin_turn(c);
    return seconds_of(c, 1, threads_);
  }

  int rounds() const {
    if (quick_) return 1;
    return std::clamp(static_cast<int>((end_ - clock_on_the_wall()) / std::max(turn_, 1e-9)), 3, 15);
  }

  bool stopped() const { return setting_.stopped && setting_.stopped(); }

  double timed(const Contender& c, std::size_t i) const {
    if (c.measure) return c.measure();
    begin_turn(c);
    // Caches and pools are somebody else's.
    if (!quick_ && (repeats_[i] > 1 || threads_ > 1)) c.run();
    return seconds_of(c, repeats_[i], threads_);
  }

  void begin_turn(const Contender& c) const {
    // Threads of the one before may still be spinning.
    if (threads_ > 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (c.prepare) c.prepare();
  }

  static constexpr double patience = 4;  // seconds
  int threads_;
  bool quick_;
  double seconds_, end_, round_, turn_ = 0;
  const Comparison& comparison_;
  const Setting& setting_;
  std::vector<int> repeats_;
};

std::vector<double> sorted(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x;
}

}  // namespace

double Row::median() const {
  const std::vector<double> x = sorted(rounds);
  return (x[(x.size() - 1) / 2] + x[x.size() / 2]) / 2;
}
double Row::least() const { return *std::min_element(rounds.begin(), rounds.end()); }
double Row::most() const { return *std::max_element(rounds.begin(), rounds.end()); }

double Outcome::shown(const Row& row, double value) const {
  if (row.measured) return value;
  return comparison->rate ? comparison->scale / value : comparison->scale * value;
}

void compare(const std::string& a, const Result& expected, const std::string& b, const Result& computed,
             double tolerance) {
  if (expected.size() != computed.size())
    throw std::runtime_error(fmt::format("{} gives {} results, {} gives {}", a, expected.size(), b, computed.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::vector<double>&x = expected[i].values, &y = computed[i].values;
    if (x.size() != y.size() || expected[i].name != computed[i].name)
      throw std::runtime_error(fmt::format("{}'s {} ({} numbers) is not {}'s {} ({})", a, expected[i].name, x.size(), b,
                                           computed[i].name, y.size()));
    double largest = 0, difference = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      largest = std::max(largest, std::abs(x[j]));
      const double d = std::abs(x[j] - y[j]);
      if (!(d <= difference)) difference = d;  // nan stays
    }
    if (!(difference <= tolerance * largest))
      throw std::runtime_error(
          fmt::format("not the same work: {} of {} differs from {}'s by {:.2g}, where the largest is {:.2g}",
                      expected[i].name, b, a, difference, largest));
  }
}

Outcome run(const Comparison& comparison, const Setting& setting, double seconds) {
  const double start = clock_on_the_wall();
  Outcome out;
  out.comparison = &comparison;
  out.threads = setting.threads;
  try {
    Field field = comparison.make(setting);
    out.absent = field.absent;
    if (!setting.contenders.empty())
      std::erase_if(field.contenders, [re = std::regex(setting.contenders)](const Contender& c) {
        return !std::regex_search(c.name, re);
      });
    if (field.contenders.empty()) throw std::runtime_error("nobody takes part");
    Race(comparison, setting, seconds).run(field, out);
  } catch (const Stopped&) {
    out.absent = {"everybody: stopped"};
    out.rows.clear();
  } catch (const std::exception& e) {
    out.error = e.what();
    out.rows.clear();
  }
  out.took = clock_on_the_wall() - start;
  return out;
}

}  // namespace rw::bench
