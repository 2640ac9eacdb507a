#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/models/cell.h>
#include <rewind/models/unroll.h>

namespace rw {

/// Truncated back-propagation through time (Williams and Peng, 1990): a long sequence in chunks, the state carried from
/// each to the next as plain numbers. This object owns the tape and the carried state, and every chunk begins by
/// clearing the tape, so a graph that reaches into an earlier chunk cannot be made.
///
///     TruncatedBptt bptt(cell, batch);
///     for (...) {
///       const auto& states = bptt.unroll(x);               // x [T, N, in] or indices [T, N], an Array
///       backward(loss_of(outputs(states)));
///       optimizer.step();
///     }
template <Cell C>
class TruncatedBptt {
 public:
  using State = typename C::State;

  /// The cell must outlive this object. The first chunk begins at the cell's zero_state.
  TruncatedBptt(const C& cell, Index batch, const TapeOptions& options = {})
      : cell_(&cell), tape_(options), batch_(batch) {
    save_state(cell.zero_state(tape_, batch), initial_);
    carried_ = initial_;
    tape_.clear();
  }

  /// The tape of the current chunk.
  Tape& tape() { return tape_; }
  Index batch() const { return batch_; }

  /// One chunk: clears the tape, runs the cell over x from the carried state, and carries the last state on. The states
  /// are valid until the next chunk. Throws Error as `rw::unroll` does; the carried state is then as it was.
  const std::vector<State>& unroll(ConstView x) {
    chunk([&](Tape& tape, const State& state) {
      rw::unroll(*cell_, tape.constant(x), state, states_);
      return states_.empty() ? state : states_.back();
    });
    return states_;
  }

  /// One chunk of any form: f(tape, state) gets the cleared tape and the carried state as constants, and returns the
  /// state to carry on, or a pair of a result and that state; then the result is returned.
  template <class F>
  auto chunk(F&& f) {
    tape_.clear();
    const State start = restore_state(tape_, carried_, cell_->zero_state(tape_, batch_));
    if constexpr (std::is_same_v<std::invoke_result_t<F&, Tape&, const State&>, State>) {
      save_state(f(tape_, start), carried_);
    } else {
      auto result = f(tape_, start);
      save_state(result.second, carried_);
      return std::move(result.first);
    }
  }

  /// Begins new sequences: all streams of the batch, or one of them (axis 0 of every tensor of the state is the batch).
  void reset() { carried_ = initial_; }
  void reset(Index stream) {
    if (stream < 0 || stream >= batch_)
      throw Error("truncated bptt: there is no stream " + std::to_string(stream) + " in a batch of " +
                  std::to_string(batch_));
    for (const Array& a : initial_)
      if (a.shape().rank() == 0 || a.shape()[0] != batch_)
        throw Error("truncated bptt: a state of shape " + a.shape().str() + " has no streams to reset one by one");
    for (std::size_t i = 0; i < carried_.size(); ++i) detail::copy_row(initial_[i], carried_[i].view(), stream);
  }

  /// The carried state, for checkpoints. `set_carried` throws Error when it does not fit the cell and batch.
  const SavedState& carried() const { return carried_; }
  void set_carried(SavedState state) {
    detail::check_same_shapes(initial_, state);
    carried_ = std::move(state);
  }

 private:
  const C* cell_;
  Tape tape_;
  Index batch_;
  SavedState initial_, carried_;
  std::vector<State> states_;
};

}  // namespace rw
