#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/compile/structure.h>
#include <rewind/autograd/tape.h>

namespace rw {

namespace detail {

/// The plans of one compiled function, without the types of its arguments.
class CompiledCore {
 public:
  /// The function, run or traced on a tape.
  using Trace = std::function<void(Tape& tape, std::span<const Tensor> inputs, std::vector<Tensor>& results)>;

  explicit CompiledCore(const CompileOptions& options);
  ~CompiledCore();
  CompiledCore(CompiledCore&&) noexcept;
  CompiledCore& operator=(CompiledCore&&) noexcept;

  /// What a call is given: begin, then its leaves and numbers, in order.
  void begin();
  void leaf(ConstView view) { views_.push_back(view); }
  template <class N>
  void number(N value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value < sizeof bits ? sizeof value : sizeof bits);
    numbers_.push_back(bits);
  }
  /// Whether the last arguments have a plan; otherwise `compile` makes it.
  bool known();
  void compile(const Trace& trace);
  /// Runs the plan; the results are on `results()`, numbered by its nodes, until the next replay.
  void replay();
  /// Whether the next replay is to be one that compares the plan with `function` on a tape.
  bool must_check() const;
  void replay_checked(const Trace& function);
  Tape& results();
  /// For an eager call with the last arguments: a cleared tape of its seed and step, which is not that of the last
  /// call, so that what that gave can be an argument; and the arguments on it.
  Tape& eager_tape(std::vector<Tensor>& inputs);
  /// The call went well: its results are valid, those of the one before no longer, and the next one is another step.
  void end_eager();
  /// The number of the plan now in use: counts up with every compilation, never used twice.
  std::uint64_t current() const;
  bool holds(std::uint64_t plan) const;

  const CompileOptions& options() const;
  void set_seed(std::uint64_t seed);
  /// See Tape::set_step.
  void set_step(std::uint64_t step);
  std::uint64_t next_step() const;
  std::size_t plans() const;
  std::size_t memory() const;
  Tape graph() const;
  std::size_t kernels() const;
  std::string explain() const;
  std::string choices() const;
  std::string profile(int replays);

 private:
  struct State;
  std::vector<ConstView> views_;
  std::vector<std::uint64_t> numbers_;
  std::unique_ptr<State> state_;
};

}  // namespace detail

namespace detail {
template <class F, class... Examples>
concept TakesTape = std::invocable<F&, Tape&, Traced<Examples>...>;
/// What stands for the result where `compile` was refused, so that nothing else is said.
struct NotCompiled {
  template <class... Args>
  NotCompiled operator()(const Args&...) const;
};
}  // namespace detail

/// A function that `compile` traced: call it with arguments of the same structure as the examples. Arguments may be
/// Tensors of any tape, Arrays or views, and aggregates (a cell's State), ranges, pairs and tuples of them. The first
/// call with new shapes, element types or numbers traces again; 16 plans, and 512 that follow from them, are kept.
///
/// The function runs twice for new shapes: once traced, and, for a program that is new, at its first call, once on a
/// tape beside its plan, which must give the same (see CompileOptions::check). Where a trace is long
/// (32,768 nodes and more), the function is traced at three short lengths, too, as if its arguments had fewer steps:
/// what their plans have in common gives its plan, without a pass over all of its nodes. So it should compute, and do
/// nothing else: what it counts or prints happens at these runs and at no other call. What it reads besides its
/// arguments (train() and eval(), frozen and tied parameters, parameters' values) is compared at every call, and traced
/// again when it changed; arrays that it holds become constants, which `explain` lists; what it would change but
/// gradients is refused.
///
/// The results are handles to values that the compiled object owns: valid until its next call, then stale. They may be
/// arguments of that next call. Gradients of parameters are added to Parameter::grad. Movable; one thread at a time.
template <class F, class... Examples>
class Compiled {
 public:
  using Result = std::invoke_result_t<F&, Tape&, detail::Traced<Examples>...>;

  /// Use `compile`.
  Compiled(F f, const CompileOptions& options) : f_(std::move(f)), core_(options) {}

  /// Replays; traces and compiles before that when no plan fits. Throws Error, and leaves everything as it was, when
  /// the function throws or looks at a value while it is traced, when a check finds the plan wrong, and for a parameter
  /// whose gradient was replaced by one of another shape.
  template <class... Args>
  Result operator()(const Args&... args) {
    if (core_.options().eager) return run(args...);
    prepare(args...);
    if (core_.must_check()) [[unlikely]]
      core_.replay_checked([&](Tape& tape, std::span<const Tensor> inputs, std::vector<Tensor>& results) {
        collect(call(tape, inputs, args...), results);
      });
    else
      core_.replay();
    if constexpr (!std::is_void_v<Result>) {
      Result out = stored();
      NodeId next = 0;
      detail::visit(
          out,
          [&](auto& leaf) {
            if constexpr (std::is_same_v<std::remove_reference_t<decltype(leaf)>, Tensor>)
              leaf = core_.results().tensor(next++);
          },
          [](const auto&) {});
      return out;
    }
  }

  /// Traces and compiles for these arguments, if need be, without running anything.
  template <class... Args>
  void prepare(const Args&... args) {
    if (core_.options().eager) return;
    read(args...);
    if (core_.known()) return;
    std::optional<Stored> result;
    core_.compile([&](Tape& tape, std::span<const Tensor> inputs, std::vector<Tensor>& results) {
      Stored now = call(tape, inputs, args...);
      collect(now, results);
      if (!result.has_value()) result.emplace(std::move(now));  // shorter sequences may be traced afterwards
    });
    std::erase_if(results_, [&](const TracedResult& e) { return !core_.holds(e.plan); });
    results_.push_back({core_.current(), std::move(*result)});
  }

  /// The function itself on a tape, with the arguments' numbers as constants; the Tensors of its result, in order.
  template <class... Args>
  std::vector<Tensor> record(Tape& tape, const Args&... args) {
    std::vector<Tensor> inputs, results;
    [[maybe_unused]] const auto leaf = [&](const auto& x) { inputs.push_back(tape.constant(detail::view_of(x))); };
    (detail::visit(args, leaf, [](const auto&) {}), ...);
    collect(call(tape, inputs, args...), results);
    return results;
  }

  /// Seed of keyed randomness, as Tape::set_seed.
  void set_seed(std::uint64_t seed) { core_.set_seed(seed); }
  /// The step that the next call is. Every call is a step of its own, from 0 on, and draws its own numbers.
  void set_step(std::uint64_t step) { core_.set_step(step); }
  /// The same, to be saved by who will go on from here.
  std::uint64_t next_step() const { return core_.next_step(); }

  /// Number of plans kept, and the bytes of memory that they hold.
  std::size_t plans() const { return core_.plans(); }
  /// Bytes of memory that all plans hold.
  std::size_t memory() const { return core_.memory(); }

  // About the plan used last:
  /// Its optimised graph, as a tape without values: for write_dot, and for counting.
  Tape graph() const { return core_.graph(); }
  /// Number of kernels that a replay runs.
  std::size_t kernels() const { return core_.kernels(); }
  /// As text: whether the plan was checked; what it depends on besides its arguments; what was fused and batched, and
  /// what was not and why; with several threads, which stretches run side by side in lanes, and the estimated times of
  /// that and of sharing each kernel among the threads; by which costs that was chosen, and what was measured for it.
  std::string explain() const { return core_.explain(); }
  /// As text: everything that was chosen, by CompileOptions::tune, by its `choices` or by costs; `choices` takes it,
  /// and a function is then compiled in the same way. It is of one version of the library.
  std::string choices() const { return core_.choices(); }
  /// A table by kernel over some replays with arguments of the last call's shapes (numbers from 0 to 1, indices 0):
  /// time, share, how often, FLOP/s, bytes, and the scope. Steps run one after the other and are timed one by one; the
  /// times are then scaled to those of replays that nobody interrupts. On x86-64 the last line says when subnormal
  /// numbers were met (see FlushSubnormals). Gradients are left alone.
  std::string profile(int replays = 10) { return core_.profile(replays); }

 private:
  struct Nothing {};
  using Stored = std::conditional_t<std::is_void_v<Result>, Nothing, Result>;
  struct TracedResult {
    std::uint64_t plan;
    Stored result;  // of the trace: what is no Tensor is kept
  };
  template <class... Args>
  void read(const Args&... args) {
    static_assert(sizeof...(Args) == sizeof...(Examples),
                  "a compiled function takes as many arguments as its examples");
    core_.begin();
    [[maybe_unused]] const auto leaf = [&](const auto& x) { core_.leaf(detail::view_of(x)); };
    [[maybe_unused]] const auto number = [&](const auto& x) { core_.number(x); };
    (detail::visit(args, leaf, number), ...);
  }
  // An eager call.
  template <class... Args>
  Result run(const Args&... args) {
    read(args...);
    std::vector<Tensor> inputs;
    Tape& tape = core_.eager_tape(inputs);
    [[maybe_unused]] Stored result = call(tape, inputs, args...);
    core_.end_eager();
    if constexpr (!std::is_void_v<Result>) return result;
  }
  // The function on a tape, with `inputs` in the places of the arguments' tensors and arrays.
  template <class... Args>
  Stored call(Tape& tape, std::span<const Tensor> inputs, const Args&... args) {
    std::size_t next = 0;
    [[maybe_unused]] const auto placeholder = [&](ConstView) { return inputs[next++]; };
    // In order: arguments are numbered as they were visited.
    std::tuple<detail::Traced<Args>...> traced{detail::traced(args, placeholder)...};
    const auto on_tape = [&](auto&... x) -> decltype(auto) { return f_(tape, x...); };
    if constexpr (std::is_void_v<Result>) {
      std::apply(on_tape, traced);
      return {};
    } else {
      return std::apply(on_tape, traced);
    }
  }
  static void collect([[maybe_unused]] const Stored& result, [[maybe_unused]] std::vector<Tensor>& results) {
    if constexpr (!std::is_void_v<Result>) detail::collect_tensors(result, results);
  }
  const Stored& stored() const {
    for (const TracedResult& e : results_)
      if (e.plan == core_.current()) return e.result;
    throw Error("compile: no result is kept for this plan");
  }

  F f_;
  detail::CompiledCore core_;
  std::vector<TracedResult> results_;
};

/// Traces `f`, gradient and all, optimises the graph, and returns the object that replays it (see Compiled). `f` takes
/// the tape and then what the examples become: a Tensor for a Tensor, Array or view; a State for a State. `backward`
/// and `grad` work within; `Tensor::value` and `item` throw, since there are no values while tracing. Throws Error as
/// `f` does.
template <class F, class... Examples>
requires detail::TakesTape<F, Examples...> Compiled<F, Examples...> compile(F f, const CompileOptions& options,
                                                                            const Examples&... examples) {
  Compiled<F, Examples...> compiled(std::move(f), options);
  compiled.prepare(examples...);
  return compiled;
}
template <class F, class... Examples>
requires detail::TakesTape<F, Examples...> Compiled<F, Examples...> compile(F f, const Examples&... examples) {
  return compile(std::move(f), CompileOptions{}, examples...);
}
template <class F, class... Examples>
requires(!detail::TakesTape<F, Examples...>) detail::NotCompiled compile(F, const CompileOptions&, const Examples&...) {
  constexpr bool takes_tape = detail::TakesTape<F, Examples...>;
  static_assert(takes_tape,
                "compile: the function takes the tape, and then a Tensor (or a State) for each example: write "
                "[&](Tape& tape, Tensor x) { ... }");
  return {};
}
template <class F, class... Examples>
requires(!detail::TakesTape<F, Examples...>) detail::NotCompiled compile(F f, const Examples&... examples) {
  return compile(std::move(f), CompileOptions{}, examples...);
}

/// `length` rounded up, by at most a quarter, to one of few lengths: sequences padded to such lengths share plans.
Index bucket(Index length);
/// A copy of `x` with `axis` made `length` long, filled up with `value`. Throws Error when it is longer already.
Array padded(ConstView x, int axis, Index length, double value = 0);

}  // namespace rw
