#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/models/cells/cell.h>
#include <rewind/models/sequence/unroll.h>

namespace rw {

/// Truncated BPTT(k1, k2) (Williams and Peng, 1990; Sutskever, 2013): every k1 steps a backward through the last k2.
struct BpttWindow {
  Index k1 = 1, k2 = 1;
};

namespace detail {

/// What a window beyond its newest chunk has: the state at its beginning, the inputs since, and streams that began anew
/// on the way.
struct BpttHistory {
  struct Reset {
    Index step, stream;  // before that step of `inputs`
  };
  SavedState start{};
  Array inputs{};  // [steps, ...]
  Index steps = 0;
  std::vector<Reset> resets{};

  /// Adds a chunk x and forgets all but the last `kept` steps. Returns how many are forgotten, from the front.
  Index push(ConstView x, Index kept);
  /// Streams that begin anew before `step`.
  std::vector<Index> resets_before(Index step) const;
};

void check(const BpttWindow& window);
/// Throws Error unless x has k1 steps or fewer.
void check_chunk(ConstView x, const BpttWindow& window);
/// `t` with these streams' rows from `initial`, whose gradient alone reaches them.
Tensor with_rows(Tensor t, ConstView initial, std::span<const Index> streams);
/// Throws Error unless every tensor has a first axis of `batch`.
void check_streams(const SavedState& state, Index batch);

}  // namespace detail

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
///
/// With BpttWindow{.k1 = 5, .k2 = 20} a chunk is 5 steps, and its backward goes through 20: the 15 before are computed
/// again from the state then, with the weights and dropout of now, and only the 5 new states are handed out for the
/// loss. With k2 below k1 gradients flow through the last k2 steps of a chunk only.
template <Cell C>
class TruncatedBptt {
 public:
  using State = typename C::State;

  /// The cell must outlive this object. The first chunk begins at the cell's zero_state.
  TruncatedBptt(const C& cell, Index batch, const TapeOptions& options = {})
      : cell_(&cell), tape_(options), batch_(batch) {
    reset();
  }
  /// The same with a window. Throws Error for a k1 or k2 below 1.
  TruncatedBptt(const C& cell, Index batch, const BpttWindow& window, const TapeOptions& options = {})
      : TruncatedBptt(cell, batch, options) {
    detail::check(window);
    window_ = window;
  }

  /// The tape of the current chunk.
  Tape& tape() { return tape_; }
  /// Sequences side by side.
  Index batch() const { return batch_; }

  /// One chunk: clears the tape, runs the cell over x from the carried state, and carries the last state on. The states
  /// are valid until the next chunk. Throws Error as `rw::unroll` does, and for more than k1 steps when there is a
  /// window; the carried state is then as it was.
  const std::vector<State>& unroll(ConstView x) {
    if (window_.has_value()) {
      unroll_window(x);
    } else {
      run_chunk([&](Tape& tape, const State& state) {
        rw::unroll(*cell_, tape.constant(x), state, states_);
        return states_.empty() ? state : states_.back();
      });
    }
    return states_;
  }

  /// One chunk of any form: f(tape, state) gets the cleared tape and the carried state as constants (in the first one
  /// after a reset of all streams the cell's zero_state itself, which may be learned), and returns the state to carry
  /// on, or a pair of a result and that state; then the result is returned. Throws Error when there is a window.
  template <class F>
  auto chunk(F&& f) {
    if (window_.has_value())
      throw Error("truncated bptt: a window needs unroll(x), which can compute earlier steps again: chunk(f) cannot");
    return run_chunk(f);
  }

  /// Begins new sequences: all streams of the batch, or one of them (axis 0 of every tensor of the state is the batch).
  void reset() {
    read_initial();
    at_start_ = true;
    carried_ = initial_;
    history_ = {.start = initial_};
  }
  /// The same for one sequence of the batch.
  void reset(Index stream) {
    if (stream < 0 || stream >= batch_)
      throw Error("truncated bptt: there is no stream " + std::to_string(stream) + " in a batch of " +
                  std::to_string(batch_));
    read_initial();
    detail::check_streams(initial_, batch_);
    for (std::size_t i = 0; i < carried_.size(); ++i) detail::copy_row(initial_[i], carried_[i].view(), stream);
    history_.resets.push_back({history_.steps, stream});
    if (history_.steps == 0) history_.start = carried_;
  }

  /// The carried state, for checkpoints. `set_carried` throws Error when it does not fit the cell and batch; a window
  /// then begins anew.
  const SavedState& carried() const { return carried_; }
  /// Goes on from this state.
  void set_carried(SavedState state) {
    detail::check_same_shapes(initial_, state);
    carried_ = std::move(state);
    at_start_ = false;
    history_ = {.start = carried_};
  }

 private:
  template <class F>
  auto run_chunk(F&& f) {
    tape_.clear();
    const State start = start_from(carried_);
    if constexpr (std::is_same_v<std::invoke_result_t<F&, Tape&, const State&>, State>) {
      save_state(f(tape_, start), carried_);
      at_start_ = false;
    } else {
      auto result = f(tape_, start);
      save_state(result.second, carried_);
      at_start_ = false;
      return std::move(result.first);
    }
  }

  /// At the start the cell's own state, through which it can be learned.
  State start_from(const SavedState& saved) {
    const State zero = cell_->zero_state(tape_, batch_);
    return at_start_ ? zero : restore_state(tape_, saved, zero);
  }

  /// What sequences begin with, which changes while it is learned.
  void read_initial() {
    Tape tape(tape_.dtype());
    save_state(cell_->zero_state(tape, batch_), initial_);
  }

  void unroll_window(ConstView x) {
    detail::check_chunk(x, *window_);
    tape_.clear();
    old_states_.clear();
    State state = start_from(history_.start);
    if (history_.steps > 0) state = again(tape_.constant(history_.inputs), state);
    const Index steps = x.shape[0], cut = std::max<Index>(0, steps - window_->k2);
    const Tensor in = tape_.constant(x);
    states_.clear();
    if (cut > 0) {
      const NoGrad no_gradient(tape_);
      rw::unroll(*cell_, record(Slice{.axis = 0, .start = 0, .length = cut}, {in}), state, states_);
      state = states_.back();
    }
    std::vector<State> last;
    rw::unroll(*cell_, cut > 0 ? record(Slice{.axis = 0, .start = cut, .length = steps - cut}, {in}) : in, state, last);
    states_.insert(states_.end(), last.begin(), last.end());
    carry_on(x);
  }

  // The steps of the history, with the streams that began anew on the way.
  State again(Tensor inputs, State state) {
    std::vector<State> some;
    for (Index t = 0, next; t < history_.steps; t = next) {
      next = history_.steps;
      for (const auto& reset : history_.resets)
        if (reset.step > t) next = std::min(next, reset.step);
      rw::unroll(*cell_, record(Slice{.axis = 0, .start = t, .length = next - t}, {inputs}), state, some);
      old_states_.insert(old_states_.end(), some.begin(), some.end());
      state = with_resets(some.back(), next);
    }
    return state;
  }
  State with_resets(State state, Index step) {
    const std::vector<Index> streams = history_.resets_before(step);
    if (streams.empty()) return state;
    std::size_t i = 0;
    return map_state(std::move(state), [&](Tensor t) { return detail::with_rows(t, initial_[i++], streams); });
  }

  void carry_on(ConstView x) {
    if (states_.empty()) return;
    save_state(states_.back(), carried_);
    detail::BpttHistory next = history_;
    const Index gone = next.push(x, std::max<Index>(0, window_->k2 - window_->k1));
    if (gone > 0) {
      at_start_ = false;
      const Index old = history_.steps;
      const State& state = gone <= old ? old_states_[static_cast<std::size_t>(gone - 1)]
                                       : states_[static_cast<std::size_t>(gone - old - 1)];
      save_state(state, next.start);
      for (const Index stream : history_.resets_before(gone))
        for (std::size_t i = 0; i < next.start.size(); ++i) detail::copy_row(initial_[i], next.start[i].view(), stream);
    }
    history_ = std::move(next);
  }

  const C* cell_;
  Tape tape_;
  Index batch_;
  std::optional<BpttWindow> window_;
  SavedState initial_, carried_;
  bool at_start_ = true;  // where the chunk, or the window, begins
  detail::BpttHistory history_;
  std::vector<State> states_, old_states_;
};

}  // namespace rw
