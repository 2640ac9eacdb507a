#include <cstdlib>

#include <rewind/core/error.h>
#include <rewind/models/parallel/mpi.h>

#ifdef REWIND_HAS_MPI
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mpi.h>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#endif

namespace rw {
namespace {

// What the launchers of Open MPI, and of MPICH and its relatives, say; 1 without them.
int started_together() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const char* size = std::getenv(name)) return std::atoi(size);
  return 1;
}

#ifdef REWIND_HAS_MPI

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(std::string("MPI, ") + what + ": " + std::string(text, static_cast<std::size_t>(length)));
}

// Sends and receives of this process. MPI moves them on only while it is called: by who waits, and by a helper while
// nobody does. One thread at a time calls it.
class Messages {
 public:
  ~Messages() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_one();
    helper_.join();
  }

  std::vector<MPI_Request> start(std::span<const Outgoing> out, std::span<const Incoming> in) {
    const std::lock_guard lock(mutex_);
    std::vector<MPI_Request> requests;
    for (const Incoming& i : in)
      for (std::size_t at = 0; at < i.bytes.size(); at += most)
        check(MPI_Irecv(i.bytes.data() + at, static_cast<int>(std::min(most, i.bytes.size() - at)), MPI_CHAR, i.from, 0,
                        MPI_COMM_WORLD, &requests.emplace_back()),
              "receiving");
    for (const Outgoing& o : out)
      for (std::size_t at = 0; at < o.bytes.size(); at += most)
        check(MPI_Isend(o.bytes.data() + at, static_cast<int>(std::min(most, o.bytes.size() - at)), MPI_CHAR, o.to, 0,
                        MPI_COMM_WORLD, &requests.emplace_back()),
              "sending");
    return requests;
  }

  // MPI_Wait takes the whole processor, which threads of other processes on this machine need.
  void wait(std::vector<MPI_Request>& requests) {
    constexpr auto longest = std::chrono::microseconds(200);
    auto pause = std::chrono::microseconds(1);
    for (int tries = 0; !are_done(requests); ++tries) {
      if (tries < 20) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, longest);
    }
  }

  // While any are, the helper helps.
  void add_unattended(int change) {
    {
      const std::lock_guard lock(mutex_);
      unattended_ += change;
    }
    if (change > 0) changed_.notify_one();
  }

 private:
  static constexpr std::size_t most = std::size_t{1} << 30;  // MPI counts in int

  bool are_done(std::vector<MPI_Request>& requests) {
    const std::lock_guard lock(mutex_);
    int done = 0;
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE), "waiting");
    return done != 0;
  }

  void help() {
    constexpr auto pause = std::chrono::milliseconds(1);
    constexpr int calls = 16;  // each moves at most a piece of each message
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || unattended_ > 0; });
      if (ended_) return;
      for (int i = 0, found = 0; i < calls; ++i)
        MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
      lock.unlock();
      std::this_thread::sleep_for(pause);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int unattended_ = 0;
  bool ended_ = false;
  std::thread helper_{[this] { help(); }};  // the last: it looks at the others
};

class MpiTransfer final : public Transfer {
 public:
  MpiTransfer(Messages& messages, std::vector<MPI_Request> requests, bool unattended)
      : messages_(messages), requests_(std::move(requests)), unattended_(unattended) {
    if (unattended_) messages_.add_unattended(1);
  }
  ~MpiTransfer() override { attend(); }
  void wait() override {
    attend();
    messages_.wait(requests_);
  }

 private:
  void attend() {
    if (std::exchange(unattended_, false)) messages_.add_unattended(-1);
  }

  Messages& messages_;
  std::vector<MPI_Request> requests_;
  bool unattended_;
};

class MpiGroup final : public Group {
 public:
  MpiGroup() {
    int level = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), "at the start");
    if (level < MPI_THREAD_SERIALIZED) throw Error("MPI was built without threads: take another build of it");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    messages_ = std::make_unique<Messages>();
  }
  // When an exception ends this process, the others would be waited for here without end, and they for this one.
  // Without the call, mpirun sees that it has gone, and ends them.
  ~MpiGroup() override {
    if (std::uncaught_exceptions() > 0) return;
    try {  // the wait within MPI_Finalize takes the whole processor
      gather_values(*this, '.');
    } catch (const Error&) {
      return;
    }
    messages_.reset();
    MPI_Finalize();
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

 private:
  std::unique_ptr<Transfer> start(std::span<const Outgoing> out, std::span<const Incoming> in, bool waits) override {
    return std::make_unique<MpiTransfer>(*messages_, messages_->start(out, in), !waits);
  }

  int rank_ = 0, size_ = 1;
  std::unique_ptr<Messages> messages_;
};

#endif

}  // namespace

std::unique_ptr<Group> open_group() {
  if (started_together() > 1) {
#ifdef REWIND_HAS_MPI
    return std::make_unique<MpiGroup>();
#else
    throw Error("started by mpirun, but this build of Rewind has no MPI: install libopenmpi-dev and build it again");
#endif
  }
  return std::make_unique<Alone>();
}

}  // namespace rw
