#pragma once

#include <utility>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw {

/// The states at all positions of a sequence, as `unroll` gives them, and the one before the first step: a sequence of
/// no steps has that one as its last, and an empty output.
template <class State>
class States : public std::vector<State> {
 public:
  using Base = std::vector<State>;

  States() = default;
  /// No states yet, after this start, of so many sequences.
  States(State start, Index batch) : start_(std::move(start)), batch_(batch) {}

  /// The state before the first step.
  const State& start() const { return start_; }
  /// The number of sequences.
  Index batch() const { return batch_; }
  /// The state at the first position; of no steps the one before them.
  const State& front() const { return this->empty() ? start_ : Base::front(); }
  /// The state at the last position; of no steps the one before them.
  const State& back() const { return this->empty() ? start_ : Base::back(); }

 private:
  State start_{};
  Index batch_ = 0;
};

}  // namespace rw
