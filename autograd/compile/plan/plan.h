#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/memory/guard.h>
#include <rewind/autograd/compile/memory/layout.h>
#include <rewind/autograd/compile/plan/lanes.h>
#include <rewind/core/gemm/bf16.h>

namespace rw::ir {

/// Memory for the values of a plan, or of several that run one after another. It may grow between replays: what stood
/// in it then stays until the replay after the next begins, since results may be the next call's arguments.
class PlanMemory {
 public:
  /// At least so many bytes, of 0 when they are new. Throws Error when there are none.
  std::byte* reserve(std::size_t bytes);
  std::byte* data() const { return now_.get(); }
  std::size_t bytes() const { return bytes_; }
  /// A replay begins.
  void begin_replay() { before_ = std::exchange(grown_out_of_, {}); }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  using Block = std::unique_ptr<std::byte[], Free>;
  Block now_;
  std::size_t bytes_ = 0;
  std::vector<Block> grown_out_of_, before_;
};

/// A graph ready to run: steps whose pointers are resolved, and one arena. A replay takes nothing from the heap.
class Plan {
 public:
  /// `g` is sorted; its store is shared.
  Plan(Graph g, const CompileOptions& options);
  /// Not yet anything: for who reads one from a listing. Its values stand in `memory`.
  Plan(std::shared_ptr<Store> store, DType real, std::shared_ptr<PlanMemory> memory);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  enum class Kind : std::uint8_t { generic, product, kernel, copy, pack };
  /// One thing to do. `pointer` is the first of its pointers.
  struct Step {
    Kind kind = Kind::generic;
    std::uint32_t index = 0;    // in the list of its kind
    std::uint32_t pointer = 0;  // inputs, then the output
    NodeId node = no_node;
  };

  /// How replays share their work among threads: bits are the same.
  void share_as(const Choices& choices);

  /// Runs everything. Inputs have the shapes of the graph's placeholders; the element type of reals may differ. The
  /// gradients fit their parameters: see `check_gradients`.
  void replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step);
  /// The same, but nothing is added to the parameters: gives what would be, by number of the parameter; empty arrays
  /// for those to which nothing is added. `after` is called after each step.
  std::vector<Array> replay_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step,
                                  const std::function<void(const Step&)>& after = nullptr);
  /// Adds such gradients to the parameters.
  void add_gradients(const std::vector<Array>& gradients);
  /// Throws Error for a parameter's gradient that was replaced by another shape or type.
  void check_gradients() const;
  /// The results; they stand in the plan's memory until the next replay.
  std::size_t outputs() const { return results_.size(); }
  ConstView output(std::size_t i) const { return view_of(results_[i]); }
  DType real() const { return graph_.real; }

  const Graph& graph() const { return graph_; }
  /// Bytes of the arena, unless it is shared, and of packed matrices.
  std::size_t memory() const { return (shares_memory_ ? 0 : layout_.arena) + packed_bytes_; }
  /// Where pointers come from is known until then: see `list`.
  void forget_places() { pointer_places_ = {}; }

  const std::vector<Step>& steps() const { return steps_; }
  /// A value, after the step that computes it and before another one takes its memory.
  ConstView value_of(NodeId id) const;
  const std::vector<Layout::Copy>& copies() const { return layout_.copies; }
  std::size_t programs() const { return programs_.size(); }
  const KernelProgram& program(const Step& step) const { return programs_[calls_[step.index]]; }
  /// The seconds that a replay takes by the clock on the wall: the mean of some, after one that is not counted. Leaves
  /// parameters alone.
  double time_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step, int replays);
  /// The seconds that each step takes in a replay, and last those before and after the steps: the least of some replays
  /// that run step by step and leave parameters alone, scaled to what such a replay takes when it is timed as a whole.
  std::vector<double> measure(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step, int replays);

 private:
  struct Generic {
    const OpInfo* info;
    const void* op;
    std::uint32_t first, inputs;  // of views_; the output comes last
  };
  struct Product {
    bool ta = false, tb = false, add = false;
    DType dtype = DType::f32;
    Index m = 0, n = 0, k = 0, lda = 0, ldb = 0, ldc = 0;
    const float* packed = nullptr;
    detail::Bf16Product* bf16 = nullptr;  // in place of all else
  };
  struct Pack {
    bool tb = false;
    Index k = 0, n = 0, ldb = 0;
    float* to = nullptr;
    detail::Bf16Product* bf16 = nullptr;  // in place of all else
    // What was packed last: the numbers of a parameter that nobody has edited since are packed already.
    const Parameter::Data* parameter = nullptr;
    const void* from = nullptr;
    std::uint64_t version = 0;
    bool is_known(const void* data);
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
  /// A value that is looked at after a replay.
  struct Held {
    Place place;
    Shape shape;
    DType dtype = DType::f32;
  };
  friend class Lowering;
  friend class PlanWriter;
  friend class PlanReader;

  ConstView view_of(const Held& held) const;
  Held held(NodeId id) const { return {layout_.places[id], graph_.nodes[id].shape, graph_.nodes[id].dtype}; }
  void follow_memory();
  void* address(const Place& place, DType dtype) const;
  void bind(Bound& bound, const void* data);
  void bind_input(std::size_t i, ConstView value);
  void bind_parameter(std::size_t i);
  void bind_gradients();
  void list_written();
  bool writes(ConstView value) const;
  void run(const Step& step);
  void run_all();
  void run_watched();
  void run_generic(const Step& step);
  struct Apart;
  void begin_replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step);
  Array& gradient(std::uint32_t parameter);
  void commit();

  Graph graph_;
  Layout layout_;
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::shared_ptr<PlanMemory> memory_;
  std::byte* arena_ = nullptr;  // of `memory_`, where pointers look
  bool shares_memory_ = false;
  std::vector<std::uint32_t> in_memory_;  // the pointers into shared memory
  std::vector<Held> results_, added_;     // `added_` by effect
  Arena attributes_;                      // of a plan that was read from a listing
  std::vector<Step> steps_;
  /// Steps [begin, end), in lanes or, without any, one by one.
  struct Section {
    std::uint32_t begin, end;
    std::unique_ptr<Lanes> lanes;
  };
  std::vector<Section> sections_;
  std::vector<void*> pointers_;
  std::vector<Index> strides_;  // by pointer
  std::vector<Place> pointer_places_;
  std::vector<Generic> generics_;
  std::vector<ConstView> views_;
  std::vector<Product> products_;
  std::vector<Pack> packs_;
  std::vector<std::unique_ptr<std::byte[], Free>> packed_;
  std::vector<std::unique_ptr<detail::Bf16Product>> bf16_products_;
  std::vector<KernelProgram> programs_;
  std::vector<std::uint32_t> calls_;  // program of each kernel step
  std::vector<Bound> inputs_, parameters_, gradients_;
  std::vector<bool> direct_;            // by effect: a product has added it already
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
  std::size_t packed_bytes_ = 0;
  bool one_thread_ = false;  // see Choices
  Index kernel_share_from_ = 1 << 15, product_share_from_ = 1 << 20;
};

}  // namespace rw::ir
