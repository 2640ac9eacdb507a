#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/memory/guard.h>
#include <rewind/autograd/compile/plan/plan.h>
#include <rewind/autograd/compile/plan/plan_memory.h>

namespace rw::ir {

/// Runs a plan, as often as one likes: its pointers are addresses here, and its values stand in one arena. A replay
/// takes nothing from the heap.
class Executor {
 public:
  /// With an arena of its own. Of the options, choices and `watch_memory` matter.
  Executor(Plan plan, const CompileOptions& options);
  /// With its values in `memory`, as those of other plans that run before or after.
  Executor(Plan plan, std::shared_ptr<PlanMemory> memory);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// How replays share their work among threads: bits are the same.
  void share_as(const Choices& choices);

  /// Runs everything. Inputs have the shapes of the graph's placeholders; the element type of reals may differ. The
  /// gradients fit their parameters: see `check_gradients`.
  void replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step);
  /// The same, but nothing is added to the parameters: gives what would be, by number of the parameter; empty arrays
  /// for those to which nothing is added. `after` is called after each step.
  std::vector<Array> replay_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step,
                                  const std::function<void(const Plan::Step&)>& after = nullptr);
  /// Adds such gradients to the parameters.
  void add_gradients(const std::vector<Array>& gradients);
  /// Throws Error for a parameter's gradient that was replaced by another shape or type.
  void check_gradients() const;
  /// The results; they stand in the arena until the next replay.
  std::size_t outputs() const { return plan_.results.size(); }
  ConstView output(std::size_t i) const { return view_of(plan_.results[i]); }

  const Plan& plan() const { return plan_; }
  const Graph& graph() const { return plan_.graph; }
  DType real() const { return plan_.graph.real; }
  /// Bytes of the arena, unless it is shared, and of packed matrices.
  std::size_t memory() const { return (shares_memory_ ? 0 : plan_.layout.arena) + packed_bytes_; }
  /// A value, after the step that computes it and before another one takes its memory.
  ConstView value_of(NodeId id) const { return view_of(plan_.value(id)); }

  /// The seconds that a replay takes by the clock on the wall: the mean of some, after one that is not counted. Leaves
  /// parameters alone.
  double time_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step, int replays);
  /// The seconds that each step takes in a replay, and last those before and after the steps: the least of some replays
  /// that run step by step and leave parameters alone, scaled to what such a replay takes when it is timed as a whole.
  std::vector<double> measure(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step, int replays);

 private:
  using Step = Plan::Step;
  /// The panels of a packed matrix, and what was packed last: the numbers of a parameter that nobody has edited since
  /// are packed already.
  struct Panels {
    Bytes bytes;
    const void* from = nullptr;
    std::uint64_t version = 0;
    float* data() const { return reinterpret_cast<float*>(bytes.get()); }
    bool know(const Parameter::Data* parameter, const void* data);
  };
  // Where a pointer comes from, for those that may change from replay to replay.
  struct Patch {
    std::uint32_t pointer;
    std::size_t offset;
  };
  struct Bound {
    const void* data = nullptr;
    std::vector<Patch> patches;
    Array staging;  // a copy, when the caller's numbers cannot be used where they are
    std::uint64_t version = 0;
  };

  void resolve();
  void* resolve(std::uint32_t pointer, const Place& from);
  void forget_buffers();
  void allocate_panels();
  ConstView view_of(const Plan::Value& value) const;
  void follow_memory();
  void* address(const Place& place, std::size_t offset) const;
  void bind(Bound& bound, const void* data);
  void bind_input(std::size_t i, ConstView value);
  void bind_parameter(std::size_t i);
  void bind_gradients();
  void list_written();
  bool writes(ConstView value) const;
  void run(const Step& step);
  void run_all();
  void run_watched();
  void run_product(const Step& step);
  void run_pack(const Step& step);
  void run_generic(const Step& step);
  struct Apart;
  void begin_replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step);
  Array& gradient(std::uint32_t parameter);
  void commit();

  Plan plan_;
  std::shared_ptr<PlanMemory> memory_;
  bool shares_memory_;
  std::byte* arena_;                      // of `memory_`, where pointers look
  std::vector<void*> pointers_;           // as the plan has them
  std::vector<Index> strides_;            // by pointer
  std::vector<std::uint32_t> in_memory_;  // the pointers into shared memory
  std::vector<Panels> panels_;            // by pack
  std::size_t packed_bytes_;
  std::vector<Bound> inputs_, parameters_, gradients_;
  std::vector<std::uint32_t> trained_;  // the parameters to whose gradients something is added, each once
  /// The memory that a replay writes and that an argument may be part of: sorted, apart from each other.
  struct Range {
    std::uintptr_t begin = 0, end = 0;
  };
  std::vector<Range> written_;
  std::vector<Array>* apart_ = nullptr;  // the gradients of a replay that leaves parameters alone
  Bound key_;
  std::int32_t key_words_[4] = {};
  std::unique_ptr<MemoryGuard> guard_;  // with CompileOptions::watch_memory
  bool one_thread_ = false;             // see Choices
  Index kernel_share_from_ = 1 << 15, product_share_from_ = 1 << 20;
};

}  // namespace rw::ir
