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
  Tape& results();
  /// The number of the plan now in use: counts up with every compilation, never used twice.
  std::uint64_t current() const;
  bool holds(std::uint64_t plan) const;

  const CompileOptions& options() const;
  void set_seed(std::uint64_t seed);
  /// See Tape::set_step.
  void set_step(std::uint64_t step);
  std::size_t plans() const;
  std::size_t memory() const;
  Tape graph() const;
  std::size_t kernels() const;
  std::string explain() const;
  std::string profile(int replays);

 private:
  struct State;
  std::vector<ConstView> views_;
  std::vector<std::uint64_t> numbers_;
  std::unique_ptr<State> state_;
};

}  // namespace detail

/// A function that `compile` traced: call it with arguments of the same structure as the examples. Arguments may be
/// Tensors of any tape, Arrays or views, and aggregates (a cell's State), ranges, pairs and tuples of them. The first
/// call with new shapes, element types or numbers traces again; the 16 plans used last are kept.
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
  /// the function throws or looks at a value while it is traced.
  template <class... Args>
  Result operator()(const Args&... args) {
    prepare(args...);
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
    static_assert(sizeof...(Args) == sizeof...(Examples),
                  "a compiled function takes as many arguments as its examples");
    core_.begin();
    [[maybe_unused]] const auto leaf = [&](const auto& x) { core_.leaf(detail::view_of(x)); };
    [[maybe_unused]] const auto number = [&](const auto& x) { core_.number(x); };
    (detail::visit(args, leaf, number), ...);
    if (core_.known()) return;
    std::optional<Stored> result;
    core_.compile([&](Tape& tape, std::span<const Tensor> inputs, std::vector<Tensor>& results) {
      std::size_t next = 0;
      [[maybe_unused]] const auto placeholder = [&](ConstView) { return inputs[next++]; };
      // In order: arguments are numbered as they were visited.
      std::tuple<detail::Traced<Args>...> traced{detail::traced(args, placeholder)...};
      const auto call = [&](auto&... x) -> decltype(auto) { return f_(tape, x...); };
      if constexpr (std::is_void_v<Result>) {
        std::apply(call, traced);
        result.emplace();
      } else {
        result.emplace(std::apply(call, traced));
        detail::visit(
            *result,
            [&](auto& leaf) {
              if constexpr (std::is_same_v<std::remove_reference_t<decltype(leaf)>, Tensor>) results.push_back(leaf);
            },
            [](const auto&) {});
      }
    });
    std::erase_if(results_, [&](const Entry& e) { return !core_.holds(e.plan); });
    results_.push_back({core_.current(), std::move(*result)});
  }

  /// Seed and step of keyed randomness, as Tape::set_seed and Tape::set_step.
  void set_seed(std::uint64_t seed) { core_.set_seed(seed); }
  /// See Tape::set_step.
  void set_step(std::uint64_t step) { core_.set_step(step); }

  /// Number of plans kept, and the bytes of memory that they hold.
  std::size_t plans() const { return core_.plans(); }
  /// Bytes of memory that all plans hold.
  std::size_t memory() const { return core_.memory(); }

  // About the plan used last:
  /// Its optimised graph, as a tape without values: for write_dot, and for counting.
  Tape graph() const { return core_.graph(); }
  /// Number of kernels that a replay runs.
  std::size_t kernels() const { return core_.kernels(); }
  /// What was fused and batched, and what was not and why, as text; with several threads, which stretches run side by
  /// side in lanes, and the estimated times of that and of sharing each kernel among the threads.
  std::string explain() const { return core_.explain(); }
  /// A table by kernel over some replays with the arguments of the last call, which must still be valid: time, share,
  /// FLOP/s, bytes, and the scope. Gradients are added as in a call.
  std::string profile(int replays = 10) { return core_.profile(replays); }

 private:
  struct Nothing {};
  using Stored = std::conditional_t<std::is_void_v<Result>, Nothing, Result>;
  struct Entry {
    std::uint64_t plan;
    Stored result;  // of the trace: what is no Tensor is kept
  };
  const Stored& stored() const {
    for (const Entry& e : results_)
      if (e.plan == core_.current()) return e.result;
    throw Error("compile: no result is kept for this plan");
  }

  F f_;
  detail::CompiledCore core_;
  std::vector<Entry> results_;
};

/// Traces `f`, gradient and all, optimises the graph, and returns the object that replays it (see Compiled). `f` takes
/// the tape and then what the examples become: a Tensor for a Tensor, Array or view; a State for a State. `backward`
/// and `grad` work within; `Tensor::value` and `item` throw, since there are no values while tracing. Throws Error as
/// `f` does.
template <class F, class... Examples>
Compiled<F, Examples...> compile(F f, const CompileOptions& options, const Examples&... examples) {
  Compiled<F, Examples...> compiled(std::move(f), options);
  compiled.prepare(examples...);
  return compiled;
}
template <class F, class... Examples>
requires std::invocable<F&, Tape&, detail::Traced<Examples>...> Compiled<F, Examples...> compile(
    F f, const Examples&... examples) {
  return compile(std::move(f), CompileOptions{}, examples...);
}

/// `length` rounded up, by at most a quarter, to one of few lengths: sequences padded to such lengths share plans.
Index bucket(Index length);
/// A copy of `x` with `axis` made `length` long, filled up with `value`. Throws Error when it is longer already.
Array padded(ConstView x, int axis, Index length, double value = 0);

}  // namespace rw
