#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <rewind/core/shown.h>
#include <rewind/tools/cli/messages.h>

namespace rw::cli {
namespace {

bool can_write(int fd, int patience_ms) {
  pollfd one{fd, POLLOUT, 0};
  const int ready = ::poll(&one, 1, patience_ms);
  return ready > 0 && (one.revents & POLLOUT) != 0;
}

// Bytes written; 0 or less when there is no going on.
ssize_t write_some(int fd, std::string_view text) {
  for (;;) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0 || errno != EINTR) return n;
  }
}

}  // namespace

void open_standard_files() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // The wrong way round: reading or writing fails, as it would have.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return;
  }
}

void ignore_broken_pipes() { std::signal(SIGPIPE, SIG_IGN); }

std::string one_line(std::string_view what) {
  constexpr std::size_t long_word = 300;
  std::string out;
  while (!what.empty()) {
    const std::string_view word = what.substr(0, what.find(' '));
    out += shown(word, word.size() > long_word ? 80 : 4 * long_word);
    if (word.size() > long_word) out += word.substr(word.find_last_not_of("':,;.)") + 1);
    what.remove_prefix(word.size());
    const std::size_t spaces = std::min(what.find_first_not_of(' '), what.size());
    out += what.substr(0, spaces);
    what.remove_prefix(spaces);
  }
  return shown(out, 2000);
}

void message(std::string_view text, int patience_ms) noexcept {
  constexpr std::size_t piece = 512;  // what a pipe that can be written to takes for certain (POSIX: PIPE_BUF)
  while (!text.empty() && can_write(STDERR_FILENO, patience_ms)) {
    const ssize_t n = write_some(STDERR_FILENO, text.substr(0, piece));
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

void result(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = write_some(STDOUT_FILENO, text);
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace rw::cli
