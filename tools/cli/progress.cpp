#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numbers>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <rewind/core/shown.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/progress.h>

namespace rw::cli {

namespace {

std::string step_text(const Status& s) {
  return s.steps > 0 ? fmt::format("step {}/{}", s.step, s.steps) : fmt::format("step {}", s.step);
}

std::string figures(const Status& s) {
  return fmt::format("{}  {}  {:.1f}k chars/s  {} left", step_text(s), loss_text(s.loss),
                     s.characters_per_second / 1000, time_text(s.seconds_left));
}

int percent(const Status& s) { return static_cast<int>(100 * std::clamp(s.fraction, 0.0, 1.0)); }

int terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string loss_text(double nats) {
  return fmt::format("{:.3f} nats {:.3f} bits/char", nats, nats / std::numbers::ln2);
}

std::string time_text(double seconds) {
  if (!(seconds < 360'000)) return "?";
  const auto s = static_cast<Index>(std::lround(std::max(seconds, 0.0)));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string bar_line(const Status& s, int width) {
  const std::string text = figures(s);
  const int cells = std::min(width - static_cast<int>(text.size()) - 4, 40);
  if (cells < 5) return fmt::format("{:3}%  {}", percent(s), text);
  const int full = cells * percent(s) / 100;
  return fmt::format("[{:#<{}}{:.<{}}]  {}", "", full, "", cells - full, text);
}

std::string plain_line(const Status& s) { return fmt::format("{:3}%  epoch {}  {}", percent(s), s.epoch, figures(s)); }

Progress::Progress(bool quiet) : quiet_(quiet) {
  const char* term = std::getenv("TERM");
  terminal_ = isatty(STDERR_FILENO) == 1 && !(term != nullptr && std::strcmp(term, "dumb") == 0);
}

void Progress::show(const Status& status) {
  const auto now = Clock::now();
  if (quiet_ || now - last_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10))) return;
  last_ = now;
  if (terminal_) {
    const int width = terminal_width() - 1;  // a full last column would wrap
    const std::string line = bar_line(status, width).substr(0, static_cast<std::size_t>(std::max(width, 1)));
    message(fmt::format("\r{}\x1b[K", line), 0);
    bar_shown_ = true;
  } else {
    message(plain_line(status) + "\n", 0);
  }
}

void Progress::say(const std::string& line) {
  if (!quiet_) warn(line);
}

void Progress::warn(const std::string& line) {
  clear();
  message(shown(line, 1000) + "\n");
}

void Progress::clear() noexcept {
  if (!bar_shown_) return;
  message("\r\x1b[K", 0);
  bar_shown_ = false;
}

}  // namespace rw::cli
