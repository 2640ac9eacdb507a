#pragma once

#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/transform/arguments.h>

namespace rw {

// Loops and branches as functions. A plain `for` or `if` of C++ is the first way to write one; these are for what
// depends on values: a compiled function serves any branch and any number of steps by one plan. States and results are
// Tensors, and ranges, tuples and aggregates of Tensors (a cell's State); numbers in them stay as they were.

struct ScanOptions {
  /// From the last step to the first; outputs stand at the positions of their steps all the same.
  bool reverse = false;
};

struct WhileOptions {
  /// The loop ends after as many steps, whatever the predicate says. Must be said.
  Index at_most = -1;
};

namespace detail {

using Tensors = std::vector<Tensor>;
using FlatBranch = std::function<Tensors()>;
using FlatStep = std::function<Tensors(std::span<const Tensor> state)>;
using FlatPredicate = std::function<Tensor(std::span<const Tensor> state)>;
/// Gives the next state, then the outputs.
using FlatScanStep = std::function<Tensors(std::span<const Tensor> state, std::span<const Tensor> x)>;

Tensors cond(const Tensor& predicate, const FlatBranch& f, const FlatBranch& g);
Tensors while_loop(const FlatPredicate& predicate, const FlatStep& f, std::span<const Tensor> init,
                   const WhileOptions& options);
/// The last state, then the outputs of all steps.
Tensors scan(const FlatScanStep& f, std::span<const Tensor> init, std::span<const Tensor> xs,
             const ScanOptions& options);

template <class Y, class State>
struct ScanResult {
  static_assert(std::is_same_v<Y, State>, "a step of scan gives the next state, or a std::pair of it and an output");
};
template <class Out, class State>
struct ScanResult<std::pair<State, Out>, State> {
  using Output = Out;
};

}  // namespace detail

/// f() where `predicate`, one number, is not 0 (nan counts as that), else g(); both take what they need by capture, and
/// give the same structure. Gradients go to the branch that was taken.
///
/// Eager, one of the two is recorded. While `compile`, `vmap` or a Jacobian records, no value is there to decide by:
/// both are computed, and `where` chooses. So a call of the plan costs f and g together. No cotangent reaches the
/// branch that is not taken, nor leaves it, though its values and slopes be nan. `backward` within a branch would add
/// to gradients whatever is taken, and is refused there. Random numbers (dropout) are the same either way. Throws Error
/// for a predicate that is no single real number, and, where both are recorded, for branches whose tensors differ in
/// number, shape or type; then, and when f or g throws, the tape is as it was.
template <class F, class G>
auto cond(Tensor predicate, F f, G g) {
  using Y = std::remove_cvref_t<std::invoke_result_t<F&>>;
  static_assert(std::is_same_v<Y, std::remove_cvref_t<std::invoke_result_t<G&>>>, "branches of cond give one type");
  std::optional<Y> like;
  const auto flat = [&like](auto& branch) {
    return [&like, &branch] {
      like.emplace(branch());
      return detail::tensors_of(*like);
    };
  };
  const detail::Tensors y = detail::cond(predicate, flat(f), flat(g));
  return detail::with_tensors(std::move(*like), y);
}

/// x = init; while predicate(x) is not 0 (nan counts as that), and at most `at_most` times: x = f(x). The last x.
/// A step must leave the shapes of x as they are.
///
///     while_loop([](Tensor x) { return x < 100; }, [](Tensor x) { return x * x; }, x0, {.at_most = 50})
///
/// Eager, the steps that run are recorded, and nothing of the predicate. While `compile`, `vmap` or a Jacobian records,
/// no value is there to decide by: `at_most` steps are computed, and after the predicate is 0 for the first time x
/// stays as it is. So the plan is traced once for any number of steps, and each call of it costs `at_most` of them, and
/// as many predicates: choose the bound with care. No cotangent reaches steps that do not count, nor leaves them,
/// though their values be nan. `backward` within a step is refused there. Random numbers are the same either way.
/// Throws Error for a bound that is not given, for a predicate that is no single real number, and for a step that
/// changes the number, a shape or a type of x's tensors; then, and when f or predicate throws, the tape is as it was.
template <class P, class F, class X>
X while_loop(P predicate, F f, const X& init, const WhileOptions& options) {
  const auto holds = [&](std::span<const Tensor> x) -> Tensor {
    return detail::call(predicate, detail::with_tensors(init, x));
  };
  const auto step = [&](std::span<const Tensor> x) {
    return detail::tensors_of(X(detail::call(f, detail::with_tensors(init, x))));
  };
  return detail::with_tensors(init, detail::while_loop(holds, step, detail::tensors_of(init), options));
}

/// A loop over the first axis of `xs`, one Tensor [T, ...] or a structure of such: state = f(state, xs at step t), from
/// `init` on. f gives the next state, or a std::pair of it and an output; scan gives the last state, or a pair of it
/// and the outputs of all steps, each [T, ...]. A step must leave the shapes of the state as they are.
///
///     auto [last, sums] = scan([](Tensor s, Tensor x) { return std::pair(s + x, s + x); }, s0, xs);
///
/// Each step is recorded, eager and while `compile` traces. With no steps the last state is `init`, and the outputs are
/// empty: f then runs once on zeros, for their shapes. Throws Error for xs without Tensors or of unequal numbers of
/// steps, and for a step that changes the number, a shape or a type of its tensors; then, and when f throws, the tape
/// is as it was.
template <class F, class State, class Xs>
auto scan(F f, const State& init, const Xs& xs, const ScanOptions& options = {}) {
  using Y = std::remove_cvref_t<std::invoke_result_t<F&, const State&, const Xs&>>;
  std::optional<Y> like;
  const auto step = [&](std::span<const Tensor> state, std::span<const Tensor> x) {
    like.emplace(f(detail::with_tensors(init, state), detail::with_tensors(xs, x)));
    return detail::tensors_of(*like);
  };
  const detail::Tensors start = detail::tensors_of(init);
  const detail::Tensors made = detail::scan(step, start, detail::tensors_of(xs), options);
  const std::span<const Tensor> all = made;
  if constexpr (std::is_same_v<Y, State>) {
    return detail::with_tensors(init, all);
  } else {
    using Output = typename detail::ScanResult<Y, State>::Output;
    return std::pair<State, Output>(detail::with_tensors(init, all.first(start.size())),
                                    detail::with_tensors(std::move(like->second), all.subspan(start.size())));
  }
}

}  // namespace rw
