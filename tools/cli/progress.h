#pragma once

#include <chrono>
#include <string>

#include <rewind/core/dtype.h>

namespace rw::cli {

/// Where a training run is.
struct Status {
  /// Done, 0 to 1.
  double fraction = 0;
  Index step = 0;
  /// All steps; 0 when time sets the end.
  Index steps = 0;
  /// Epochs begun, from 1.
  Index epoch = 1;
  /// Training loss, nats per character.
  double loss = 0;
  double characters_per_second = 0;
  double seconds_left = 0;
};

/// "1.612 nats 2.326 bits/char".
std::string loss_text(double nats);
/// Seconds as "0:42", "12:05" or "1:02:03".
std::string time_text(double seconds);
/// A bar with step, loss, speed and time left, in `width` columns; a number in place of the bar when there is no room.
std::string bar_line(const Status& status, int width);
/// The same in words: " 50%  epoch 3  step 9/18  ...".
std::string plain_line(const Status& status);

/// Shows a run on standard error: a bar that moves on a terminal, a line now and then elsewhere, nothing when quiet.
/// Nothing of it can fail: see messages.h.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows `status` if the last one is old enough: 0.1 s for a bar, 10 s for a line.
  void show(const Status& status);
  /// Prints a line that stays, above the bar.
  void say(const std::string& line);
  /// The same, also when quiet.
  void warn(const std::string& line);
  /// Takes the bar away.
  void clear() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  bool quiet_, terminal_, bar_shown_ = false;
  Clock::time_point last_ = Clock::now();
};

}  // namespace rw::cli
