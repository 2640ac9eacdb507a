#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

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
