#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <pthread.h>
#include <string>
#include <system_error>
#include <thread>
#include <time.h>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/core/one_thread.h>
#include <rewind/core/subnormals.h>
#include <rewind/core/threads.h>

namespace rw {
namespace {

// Within a block, on a worker or on the caller, or where OneThread is wanted: a parallel_for runs serially.
thread_local bool in_block = false;

int threads_at_start() {
  if (const char* text = std::getenv("REWIND_THREADS")) {
    const long n = std::strtol(text, nullptr, 10);
    if (n >= 1) return static_cast<int>(std::min(n, 1024L));
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

// To wake a thread that sleeps takes some 60 us, as long as a small product: so threads wait awake for that long and
// more, but give their processor to whoever asks for it.
constexpr microseconds patience(300);

template <class Ready, class GiveUp>
bool spin_until(Ready ready, GiveUp give_up) {
  constexpr microseconds greedy(20);
  const auto start = Clock::now();
  for (auto now = start; now < start + patience; now = Clock::now()) {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    if (now < start + greedy) continue;
    if (give_up()) return false;
    std::this_thread::yield();
  }
  return false;
}

// Whether other programs took the processor from the calling thread for a good part of the last moments. Single moments
// do not count: the system itself takes them.
class Preemption {
 public:
  void watch() { start_ = clocks(); }
  bool happened() {
    const Clocks now = clocks();
    const std::int64_t passed = now.wall - start_.wall, lost = passed - (now.own - start_.own);
    if (lost > 500'000 && 8 * lost > passed) return true;
    if (passed > 10'000'000) start_ = now;
    return false;
  }

 private:
  struct Clocks {
    std::int64_t wall = 0, own = 0;  // ns; by the clock on the wall, and that the thread ran
  };
  static Clocks clocks() {
    const auto read = [](clockid_t clock) {
      timespec t;
      clock_gettime(clock, &t);
      return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
    };
    return {read(CLOCK_MONOTONIC), read(CLOCK_THREAD_CPUTIME_ID)};
  }
  Clocks start_;
};

// A machine with no processor to spare: a helper that is taken off its processor in the middle of a block keeps the
// caller waiting for milliseconds. Then jobs run in the caller alone for a while, for longer each time that trying
// again fails.
class Crowd {
 public:
  bool here() const { return until_.load(std::memory_order_relaxed) > now(); }
  void seen() {
    const std::int64_t t = now(), last = until_.load(std::memory_order_relaxed);
    if (last > t) return;
    pause_ = t - last < 4 * pause_ ? std::min(2 * pause_, longest) : shortest;
    until_.store(t + pause_, std::memory_order_relaxed);
  }
  void forget() { until_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr std::int64_t shortest = 5'000'000, longest = 320'000'000;  // ns
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  }
  std::atomic<std::int64_t> until_{0}, pause_{shortest};
};

// One job at a time. Whoever has work left to hand out is in `ticket_`: the job's number above, blocks not yet taken
// below. A worker takes a block by compare-and-swap, so one that wakes up late finds another job's number and takes
// nothing; a job ends when its taken blocks are finished, and nobody waits for a worker that took none.
class Pool {
 public:
  explicit Pool(int size) : size_(size) {}
  int size() const { return size_.load(std::memory_order_relaxed); }

  void resize(int n) {
    std::lock_guard lock(owner_);
    size_.store(n, std::memory_order_relaxed);
    stop_workers();
    crowd_.forget();
  }

  bool helpers_are_awake() const {
    return started_.load(std::memory_order_relaxed) && asleep_.load(std::memory_order_relaxed) == 0 && !crowd_.here();
  }

  void run(Index blocks, detail::Block run, void* context) {
    std::unique_lock lock(owner_, std::try_to_lock);
    Index first = 0;
    while (first < blocks && (!lock || crowd_.here())) run(context, first++);  // a long job outlasts the crowd
    if (first == blocks) return;
    start_workers();
    constexpr Index most = Index{1} << 30;  // blocks that a ticket counts
    for (; first < blocks; first += most) run_job(first, std::min(most, blocks - first), run, context);
  }

 private:
  static constexpr std::uint64_t taken_mask = 0xffffffff;

  void run_job(Index first, Index blocks, detail::Block run, void* context) {
    run_ = run;
    context_ = context;
    mode_ = detail::arithmetic_mode();
    first_ = first;
    blocks_ = blocks;
    unfinished_.store(static_cast<int>(blocks), std::memory_order_relaxed);
    const std::uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store((job << 32) | static_cast<std::uint64_t>(blocks), std::memory_order_release);
    wake(blocks - 1);
    in_block = true;
    while (take_block()) {
    }
    in_block = false;
    wait_for_others();
    if (failed_.load(std::memory_order_relaxed)) {
      failed_.store(false, std::memory_order_relaxed);
      std::rethrow_exception(std::exchange(error_, nullptr));
    }
  }

  void wake(Index helpers) {
    calls_.fetch_add(1, std::memory_order_release);
    if (helpers >= static_cast<Index>(workers_.size())) {
      calls_.notify_all();
    } else {
      for (Index i = 0; i < helpers; ++i) calls_.notify_one();
    }
  }

  bool take_block() {
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    do {
      if ((ticket & taken_mask) == 0) return false;
    } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire));
    // The job cannot end before this block is finished, so its fields hold still.
    const Index block = first_ + blocks_ - static_cast<Index>(ticket & taken_mask);
    detail::set_arithmetic_mode(mode_);
    try {
      if (!failed_.load(std::memory_order_relaxed)) run_(context_, block);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!failed_.load(std::memory_order_relaxed)) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    return true;
  }

  void wait_for_others() {
    const auto done = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
    if (spin_until(done, [] { return false; })) return;
    for (int left; (left = unfinished_.load(std::memory_order_acquire)) != 0;) unfinished_.wait(left);
  }

  void start_workers() {
    const int wanted = size() - 1;
    keep_.store(wanted, std::memory_order_relaxed);
    started_.store(true, std::memory_order_relaxed);
    try {
      while (static_cast<int>(workers_.size()) < wanted) {
        const int id = static_cast<int>(workers_.size());
        workers_.emplace_back([this, id] { work(id); });
      }
    } catch (const std::system_error&) {
      // No more threads to be had: those that are here do the work.
    }
  }

  void stop_workers() {
    const int keep = size() - 1;
    keep_.store(keep, std::memory_order_relaxed);
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
    while (static_cast<int>(workers_.size()) > keep) {
      workers_.back().join();
      workers_.pop_back();
    }
  }

  void work(int id) {
    in_block = true;
    Preemption preemption;
    preemption.watch();
    for (int seen = calls_.load(std::memory_order_acquire); id < keep_.load(std::memory_order_relaxed);) {
      while (take_block()) {
      }
      const auto called = [&] { return calls_.load(std::memory_order_acquire) != seen; };
      const auto crowded = [&] {
        if (preemption.happened()) {
          crowd_.seen();
          preemption.watch();
        }
        return crowd_.here();
      };
      if (crowded() || !spin_until(called, crowded)) {
        asleep_.fetch_add(1, std::memory_order_relaxed);
        calls_.wait(seen, std::memory_order_acquire);
        asleep_.fetch_sub(1, std::memory_order_relaxed);
        preemption.watch();
      }
      seen = calls_.load(std::memory_order_acquire);
    }
  }

  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<int> unfinished_{0};
  alignas(64) std::atomic<int> calls_{0};  // workers sleep on it
  std::atomic<int> size_;
  std::atomic<int> keep_{0};  // workers with a number from here on go home
  std::atomic<int> asleep_{0};
  std::atomic<bool> started_{false};
  std::atomic<bool> failed_{false};
  Crowd crowd_;
  detail::Block run_ = nullptr;
  void* context_ = nullptr;
  std::uint64_t mode_ = 0;  // of the caller's arithmetic
  Index first_ = 0, blocks_ = 0;
  std::exception_ptr error_;
  std::mutex error_mutex_;
  std::mutex owner_;
  std::vector<std::thread> workers_;
};

// Never destroyed: workers may still look at it while the process exits.
std::atomic<Pool*> the_pool{nullptr};

// A child of fork has the memory of the pool, but none of its threads, and perhaps a lock that one of them held.
void begin_anew_in_child() {
  in_block = false;
  the_pool.store(new Pool(the_pool.load()->size()));
}

Pool* make_pool() {
  static Pool* const first = [] {
    the_pool.store(new Pool(threads_at_start()));
    pthread_atfork(nullptr, nullptr, begin_anew_in_child);
    return the_pool.load();
  }();
  return first;
}

Pool& pool() {
  Pool* const now = the_pool.load(std::memory_order_acquire);
  return now != nullptr ? *now : *make_pool();
}

}  // namespace

int threads() { return pool().size(); }

void set_threads(int n) {
  if (n < 1) throw Error("[set_threads] needs at least one thread, got " + std::to_string(n));
  if (in_block) throw Error("[set_threads] called from within a parallel_for; call it before");
  pool().resize(n);
}

OneThread::OneThread(bool on) : before_(in_block) { in_block = in_block || on; }
OneThread::~OneThread() { in_block = before_; }

namespace detail {

bool runs_serially() { return in_block || pool().size() == 1; }

bool helpers_are_awake() { return !runs_serially() && pool().helpers_are_awake(); }

void run_parallel(Index blocks, Block run, void* context) { pool().run(blocks, run, context); }

}  // namespace detail
}  // namespace rw
