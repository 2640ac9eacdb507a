#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

/// What a lane runs as one, in the order of the graph: nodes [begin, end), as steps [first, last).
struct LaneUnit {
  NodeId begin, end;
  std::uint32_t lane, first, last;  // lanes count from 0
};

/// A section of steps that lanes run side by side. A lane is a sequence of tasks, each begun when the one before is
/// done and other lanes have done what it needs: what wrote the memory that it reads, what read or wrote the memory
/// that it writes. Whatever threads take part, each task sees the numbers that it would see one after another.
class Lanes {
 public:
  /// `units` are those of one section of a sorted graph; `after`: pairs of steps, the first of which needs the second.
  Lanes(const Graph& g, const Layout& layout, std::span<const LaneUnit> units,
        std::span<const std::pair<std::uint32_t, std::uint32_t>> after);

  /// Calls f(step) for all steps, on as many threads as there are to be had. The first exception ends all lanes.
  template <class F>
  void run(F&& f) {
    run([](void* context, std::uint32_t step) { (*static_cast<std::remove_reference_t<F>*>(context))(step); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }
  std::size_t lanes() const { return lanes_.size(); }
  /// How often a lane waits for another one.
  std::size_t waits() const { return waits_.size(); }

 private:
  using RunStep = void (*)(void* context, std::uint32_t step);
  struct Wait {
    std::uint32_t lane, tasks;  // so many must be done
  };
  struct Task {
    std::uint32_t first_step, last_step;  // of steps_
    std::uint32_t first_wait, last_wait;
  };
  struct Lane {
    std::uint32_t first, last;  // tasks
  };
  struct Progress {
    std::uint32_t done : 31, running : 1;  // tasks that are done, and whether the next one runs
  };
  struct alignas(64) State {
    std::atomic<Progress> progress{Progress{0, 0}};
    std::atomic<bool> has_thread{false};
  };
  enum class Outcome : char { ran, waits, finished };

  void make_tasks(std::span<const LaneUnit> units, const std::vector<std::uint32_t>& needs);
  void run(RunStep f, void* context);
  void work(std::size_t own, RunStep f, void* context);
  Outcome advance(std::size_t lane, RunStep f, void* context);

  std::vector<Lane> lanes_;
  std::vector<Task> tasks_;
  std::vector<Wait> waits_;
  std::vector<std::uint32_t> steps_;
  std::unique_ptr<State[]> states_;
  std::atomic<bool> failed_{false};
};

}  // namespace rw::ir
