#include "forked.h"

#include <chrono>
#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rewind/core/error.h>

#include "shrink.h"

namespace rw::fuzz {
namespace {

using Clock = std::chrono::steady_clock;
constexpr unsigned patience = 60;  // seconds

// Runs f in a child process; how that ended.
int in_child(const std::function<int()>& f) {
  const pid_t child = fork();
  if (child < 0) throw Error("fuzz: no new process");
  if (child == 0) {
    alarm(patience);
    _exit(f());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

/// A number that a child writes and its parent reads.
class SharedNumber {
 public:
  SharedNumber()
      : at_(static_cast<std::uint64_t*>(
            mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    if (at_ == MAP_FAILED) throw Error("fuzz: no shared memory");
  }
  ~SharedNumber() { munmap(at_, sizeof(std::uint64_t)); }
  SharedNumber(const SharedNumber&) = delete;
  SharedNumber& operator=(const SharedNumber&) = delete;
  volatile std::uint64_t& operator*() { return *at_; }

 private:
  std::uint64_t* at_;
};

std::string ended(int status) {
  if (WIFSIGNALED(status))
    return WTERMSIG(status) == SIGALRM ? "no result within a minute" : "signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

bool fails_in_its_process(const Trial& trial) {
  return in_child([&] { return failure(trial).has_value() ? 1 : 0; }) != 0;
}

std::uint64_t fuzz(double seconds, std::uint64_t first,
                   const std::function<void(const Trial&, const std::string&, std::uint64_t)>& found) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  SharedNumber seed;
  *seed = first;
  while (Clock::now() < end) {
    const int status = in_child([&] {
      for (; Clock::now() < end; *seed = *seed + 1) {
        alarm(patience);
        if (failure(random_trial(*seed)).has_value()) return 1;
      }
      return 0;
    });
    if (status == 0) break;
    const Trial trial = shrunk(random_trial(*seed), fails_in_its_process);
    // Where it ends by itself, it says what was wrong.
    std::string wrong = ended(status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1) wrong = failure(trial).value_or(wrong);
    found(trial, wrong, *seed);
    *seed = *seed + 1;
  }
  return *seed - first;
}

}  // namespace rw::fuzz
