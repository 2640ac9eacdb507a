#pragma once

// A step of training or testing, compiled or, with `--eager`, run op by op.

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include <rewind/autograd/compile/compile.h>

#include "task.h"

namespace rw {

/// A function of a tape and of tensors, called with arrays, tensors and states of them, as a Compiled one: it is traced
/// and compiled for each shape, or, when it is eager, runs as it stands. Results are valid until the next call, and may
/// be arguments of it.
template <class F, class... Examples>
class Step {
 public:
  Step(bool eager, F f) : eager_(eager), f_(f), compiled_(std::move(f), {.dtype = DType::f32}) {}

  template <class... Args>
  typename Compiled<F, Examples...>::Result operator()(const Args&... args) {
    if (!eager_) return compiled_(args...);
    turn_ = 1 - turn_;
    Tape& tape = tapes_[turn_];
    tape.clear();
    tape.set_step(steps_++);
    const auto constant = [&](ConstView view) { return tape.constant(view); };
    std::tuple<detail::Traced<Args>...> inputs{detail::traced(args, constant)...};
    return std::apply([&](auto&... x) { return f_(tape, x...); }, inputs);
  }

  /// Of dropout: see Tape.
  void set_seed(std::uint64_t seed) {
    compiled_.set_seed(seed);
    for (Tape& tape : tapes_) tape.set_seed(seed);
  }

 private:
  bool eager_;
  F f_;
  Compiled<F, Examples...> compiled_;
  std::array<Tape, 2> tapes_;  // in turn: one holds what the last call gave
  std::size_t turn_ = 0;
  std::uint64_t steps_ = 0;
};

/// The examples say what the arguments are.
template <class F, class... Examples>
Step<F, Examples...> make_step(const Task& task, F f, const Examples&...) {
  return {task.eager(), std::move(f)};
}

}  // namespace rw
