#include <cstdlib>

#include <rewind/core/error.h>
#include <rewind/models/parallel/mpi.h>

#ifdef REWIND_HAS_MPI
#include <algorithm>
#include <chrono>
#include <exception>
#include <mpi.h>
#include <string>
#include <thread>
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

class MpiGroup final : public Group {
 public:
  MpiGroup() {
    int level = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "at the start");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
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
    MPI_Finalize();
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void exchange(std::span<const std::string_view> out, std::span<const std::span<char>> in) override {
    std::vector<MPI_Request> requests;
    for (int k = 0; k < size_; ++k) {  // each begins with another, so that nobody is everybody's first
      const int r = (rank_ + k) % size_;
      const auto i = static_cast<std::size_t>(r);
      if (r == rank_)
        std::copy(out[i].begin(), out[i].end(), in[i].begin());
      else
        begin(r, out[i], in[i], requests);
    }
    wait(requests);
  }

 private:
  static constexpr std::size_t most = std::size_t{1} << 30;  // MPI counts in int

  static void begin(int other, std::string_view out, std::span<char> in, std::vector<MPI_Request>& requests) {
    for (std::size_t at = 0; at < in.size(); at += most)
      check(MPI_Irecv(in.data() + at, static_cast<int>(std::min(most, in.size() - at)), MPI_CHAR, other, 0,
                      MPI_COMM_WORLD, &requests.emplace_back()),
            "receiving");
    for (std::size_t at = 0; at < out.size(); at += most)
      check(MPI_Isend(out.data() + at, static_cast<int>(std::min(most, out.size() - at)), MPI_CHAR, other, 0,
                      MPI_COMM_WORLD, &requests.emplace_back()),
            "sending");
  }

  // MPI_Wait takes the whole processor, which threads of other processes on this machine need.
  static void wait(std::vector<MPI_Request>& requests) {
    constexpr auto longest = std::chrono::microseconds(200);
    auto pause = std::chrono::microseconds(1);
    for (int tries = 0;; ++tries) {
      int done = 0;
      check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE), "waiting");
      if (done != 0) return;
      if (tries < 20) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, longest);
    }
  }

  int rank_ = 0, size_ = 1;
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
