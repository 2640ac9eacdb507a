#pragma once

// What the tasks of this folder share: options, a progress line, and the line that ends them.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <map>
#include <mutex>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/optim/schedule.h>

namespace rw {

/// An option, `--name VALUE`: its value when it is not given, and then with `--quick`.
struct TaskOption {
  std::string name, value, quick;
};

/// One run of a task. Every task has `--quick` (a few seconds, for the tests), `--eager` (its steps run op by op, not
/// compiled), `--seed` (1) and `--threads` (1, unless it has a default of its own).
class Task {
 public:
  /// Throws Error, listing the options, for one that is not there or has no value.
  Task(int argc, char** argv, std::initializer_list<TaskOption> options) {
    for (const std::string_view argument : std::span(argv, static_cast<std::size_t>(argc))) {
      quick_ = quick_ || argument == "--quick";
      eager_ = eager_ || argument == "--eager";
    }
    values_ = {{"seed", "1"}, {"threads", "1"}};
    for (const TaskOption& o : options) values_[o.name] = quick_ ? o.quick : o.value;
    for (int i = 1; i < argc; ++i) {
      const std::string name = argv[i];
      if (name == "--quick" || name == "--eager") continue;
      const auto option = name.starts_with("--") ? values_.find(name.substr(2)) : values_.end();
      if (option == values_.end() || ++i == argc) throw Error(name + ": the options are --quick, --eager" + listed());
      option->second = argv[i];
    }
    set_threads(static_cast<int>(count("threads", 1, 1000)));
  }

  bool quick() const { return quick_; }
  bool eager() const { return eager_; }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(count("seed")); }
  /// The value of an option: as text, as a number, or as a whole number in a range. Throws Error when it is none.
  const std::string& text(const std::string& name) const { return values_.at(name); }
  double number(const std::string& name) const {
    char* end = nullptr;
    const double value = std::strtod(text(name).c_str(), &end);
    if (text(name).empty() || *end != 0) throw Error("--" + name + " takes a number, not '" + text(name) + "'");
    return value;
  }
  Index count(const std::string& name, Index least = 0, Index most = 1'000'000'000) const {
    const double value = number(name);
    if (!(value >= static_cast<double>(least) && value <= static_cast<double>(most)) || value != std::floor(value))
      throw Error(joined("--", name, " takes a whole number from ", least, " to ", most, ", not '", text(name), "'"));
    return static_cast<Index>(value);
  }

  /// "label  update 300 of 4000  loss 0.0123", once in five seconds and at the last update. Threads may call it.
  template <class... Parts>
  void progress(const std::string& label, Index update, Index updates, const Parts&... parts) {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    if (update < updates && now - shown_ < std::chrono::seconds(5)) return;
    shown_ = now;
    std::cout << joined(label, "  update ", update, " of ", updates, "  ", parts...) << std::endl;
  }

  /// The last lines: the time, and "result: ..."; with `ok` false, what was asked for was not reached. Returns what
  /// main returns.
  template <class... Parts>
  int result(bool ok, const Parts&... parts) const {
    std::cout << joined("time: ", std::chrono::duration<double>(Clock::now() - start_).count(), " s\n");
    std::cout << joined("result: ", parts..., ok ? "" : " (NOT REACHED)") << std::endl;
    return ok ? 0 : 1;
  }

 private:
  using Clock = std::chrono::steady_clock;

  template <class... Parts>
  static std::string joined(const Parts&... parts) {
    std::ostringstream out;
    out.precision(4);
    (out << ... << parts);
    return out.str();
  }
  std::string listed() const {
    std::string text;
    for (const auto& option : values_) text += ", --" + option.first + " (" + option.second + ")";
    return text;
  }

  std::mutex mutex_;
  bool quick_ = false, eager_ = false;
  std::map<std::string, std::string> values_;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
};

/// `rate`, and over the last part of the updates half a cosine down to 0.
inline Schedule falling(double rate, Index updates, double part = 0.25) {
  const Index last = static_cast<Index>(part * static_cast<double>(updates)) + 1;
  return in_turn([rate](Index) { return rate; }, updates - last, CosineDecay{.rate = rate, .steps = last});
}

/// The body of main: runs a task, and says what went wrong when it throws.
template <class F>
int run_task(int argc, char** argv, std::initializer_list<TaskOption> options, F&& f) {
  try {
    Task task(argc, argv, options);
    return f(task);
  } catch (const std::exception& e) {
    std::cerr << "error: " << e.what() << '\n';
    return 2;
  }
}

}  // namespace rw
