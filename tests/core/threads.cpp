#include <atomic>
#include <memory>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>

using rw::Index;

namespace {

struct Threads {
  explicit Threads(int n) : before(rw::threads()) { rw::set_threads(n); }
  ~Threads() { rw::set_threads(before); }
  int before;
};

void check_each_once(Index blocks) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(blocks));
  rw::parallel_for(blocks, [&](Index i) { ++runs[static_cast<std::size_t>(i)]; });
  for (const auto& count : runs) CHECK(count == 1);
}

}  // namespace

TEST_CASE("each block runs once, for any number of threads and blocks") {
  for (int n : {1, 2, 3, 8}) {
    const Threads threads(n);
    CHECK(rw::threads() == n);
    for (Index blocks : {0, 1, 2, 3, 7, 64, 1000}) check_each_once(blocks);
  }
}

TEST_CASE("many small jobs in a row, with and without time to fall asleep") {
  const Threads threads(4);
  for (int job = 0; job < 3000; ++job) {
    std::atomic<int> sum = 0;
    rw::parallel_for(5, [&](Index i) { sum += static_cast<int>(i); });
    REQUIRE(sum == 10);
    if (job % 300 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_CASE("another thread does take blocks") {
  const Threads threads(2);
  std::atomic<int> arrived = 0;
  rw::parallel_for(2, [&](Index) {  // each block waits for the other
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("an exception is rethrown in the caller, and the pool goes on") {
  const Threads threads(3);
  for (int repeat = 0; repeat < 50; ++repeat) {
    CHECK_THROWS_WITH_AS(rw::parallel_for(20,
                                          [](Index i) {
                                            if (i % 5 == 3) throw std::runtime_error("block");
                                          }),
                         "block", std::runtime_error);
    check_each_once(20);
  }
}

TEST_CASE("nested loops run, serially") {
  const Threads threads(3);
  std::atomic<int> runs = 0;
  std::atomic<int> elsewhere = 0;
  rw::parallel_for(6, [&](Index) {
    const auto outer = std::this_thread::get_id();
    rw::parallel_for(7, [&](Index) {
      ++runs;
      if (std::this_thread::get_id() != outer) ++elsewhere;
    });
  });
  CHECK(runs == 42);
  CHECK(elsewhere == 0);
}

TEST_CASE("several threads may call at once") {
  const Threads threads(3);
  std::atomic<long> total = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int job = 0; job < 300; ++job) rw::parallel_for(10, [&](Index i) { total += i; });
    });
  }
  for (auto& caller : callers) caller.join();
  CHECK(total == 4 * 300 * 45);
}

TEST_CASE("the number of threads may change between jobs, not within one") {
  const Threads threads(4);
  for (int n : {2, 6, 1, 3}) {
    rw::set_threads(n);
    check_each_once(50);
  }
  CHECK_THROWS_WITH_AS(rw::set_threads(0), doctest::Contains("at least one"), rw::Error);
  CHECK_THROWS_WITH_AS(rw::parallel_for(4, [](Index) { rw::set_threads(2); }), doctest::Contains("parallel_for"),
                       rw::Error);
}

TEST_CASE("a child that was forked while the pool worked has a pool of its own") {
  const Threads threads(3);
  check_each_once(50);
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    while (!stop) rw::parallel_for(20, [](Index) {});
  });
  int failed = 0;
  for (int times = 0; times < 10; ++times) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);  // a hang is an end by a signal
      rw::set_threads(2);
      std::atomic<int> runs = 0;
      rw::parallel_for(30, [&](Index) { ++runs; });
      ::_exit(runs == 30 && rw::threads() == 2 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    failed += status != 0;
  }
  stop = true;
  busy.join();
  CHECK(failed == 0);
}
