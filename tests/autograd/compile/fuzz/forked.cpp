#include "forked.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

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
  explicit SharedNumber(std::uint64_t value) {
    void* page = mmap(nullptr, sizeof(Number), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) throw Error("fuzz: no shared memory");
    at_ = new (page) Number(value);
  }
  ~SharedNumber() { munmap(at_, sizeof(Number)); }
  SharedNumber(const SharedNumber&) = delete;
  SharedNumber& operator=(const SharedNumber&) = delete;
  std::atomic<std::uint64_t>& operator*() { return *at_; }

 private:
  using Number = std::atomic<std::uint64_t>;
  Number* at_;
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
  SharedNumber seed(first);
  while (Clock::now() < end) {
    const int status = in_child([&] {
      for (; Clock::now() < end; ++*seed) {
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
    ++*seed;
  }
  return *seed - first;
}

// ---- Its tests ----

namespace {

double number_in(const char* variable, double otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr || *text == '\0' ? otherwise : std::atof(text);
}

// What tools/fuzz-compile runs.
TEST_CASE("fuzz for a while" * doctest::skip()) {
  const auto first = static_cast<std::uint64_t>(number_in("REWIND_FUZZ_SEED", 1e6));
  const std::uint64_t count = fuzz(number_in("REWIND_FUZZ_SECONDS", 60), first,
                                   [](const Trial& trial, const std::string& wrong, std::uint64_t seed) {
                                     std::cout << report(trial, wrong, seed) << std::endl;
                                     FAIL_CHECK("seed ", seed, ": ", wrong);
                                   });
  std::cout << count << " programs, from seed " << first << std::endl;
  CHECK(count > 0);
}

TEST_CASE("what goes wrong in a process of its own is seen, and what is right is not") {
  CHECK(in_child([] { return 0; }) == 0);
  CHECK(ended(in_child([] { return 3; })) == "exit status 3");
  CHECK(ended(in_child([] { return std::raise(SIGKILL); })) == "signal 9");
  CHECK(!fails_in_its_process(random_trial(1)));
}

}  // namespace

}  // namespace rw::fuzz
