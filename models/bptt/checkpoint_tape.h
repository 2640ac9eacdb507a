#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <rewind/autograd/split_backward.h>
#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpoint_sequence.h>
#include <rewind/models/bptt/checkpoint_state.h>
#include <rewind/models/cells/cell.h>
#include <rewind/models/sequence/unroll.h>

namespace rw::detail {

/// The tape on which a cell is run over parts of a sequence: on without gradients, or again with them, each time with
/// the draws and losses of one run over all of it. Everything is told in positions (see CheckpointSequence).
template <Cell C>
class CheckpointTape {
 public:
  using State = typename C::State;
  using StepLoss = std::function<Tensor(Index step, const State&)>;

  CheckpointTape(const C& cell, Index batch, const TapeOptions& options)
      : cell_(&cell), batch_(batch), tape_(options) {}

  Tape& tape() { return tape_; }

  /// The run after this is a step of its own; whatever is computed again in it draws its numbers again.
  void begin_step() { step_ = tape_.next_step(); }
  /// Begins a run from `start`, or from the cell's zero_state. `loss` may be empty. What is pointed to must stay.
  void begin(const CheckpointSequence& sequence, const SavedState* start, const StepLoss& loss) {
    sequence_ = &sequence;
    start_ = start;
    loss_ = &loss;
    clear();
    const NoGrad no_gradient(tape_);
    like_ = cell_->zero_state(tape_, batch_);
    draws_.assign(static_cast<std::size_t>(sequence.steps()) + 1, 0);
    draws_[0] = start != nullptr ? 0 : tape_.mark().draws;
    seen_ = 0;
    total_ = 0;
    save_checkpoint(start != nullptr ? restore_state(tape_, *start, like_) : like_, current_);
  }

  /// The state from which the next part goes on.
  Checkpoint& current() { return current_; }

  /// One block without gradients: the current state goes on to its end.
  void advance(Index from) {
    clear();
    const NoGrad no_gradient(tape_);
    tape_.set_draw(draw_at(from));
    const State state = restore_state(tape_, current_.values, like_);
    save_checkpoint(block(from, tape_.constant(sequence_->inputs(from)), state, nullptr), current_);
  }

  /// Records blocks from the current state on, that of `from`, and their losses. Returns the state behind them.
  State record(Index from, Index to, bool input_gradient) {
    roots_.clear();
    inputs_.clear();
    State state = begin_part(from);
    for (Index p = from; p < to; p = sequence_->end(p)) {
      const ConstView values = sequence_->inputs(p);
      inputs_.push_back(input_gradient ? tape_.variable(values) : tape_.constant(values));
      state = block(p, inputs_.back(), state, &roots_);
    }
    return state;
  }
  /// Throws Error unless the loss is recorded here.
  void check(const Tensor& loss) {
    if (&loss.tape().data() != &tape_.data())
      throw Error("checkpointed bptt: the loss is on another tape: record it on that of the state it is given");
  }
  /// From now on until `begin` no loss counts.
  void stop_counting() { seen_ = sequence_->steps(); }

  /// Of what was recorded: its losses, oldest first; its state's tensors, none where the cell made them; its inputs.
  std::vector<SplitBackward::Root>& roots() { return roots_; }
  const std::vector<Tensor>& variables() const { return variables_; }
  const std::vector<Tensor>& inputs() const { return inputs_; }

  /// The sum of losses so far.
  double total() const { return total_; }
  std::size_t bytes() const { return bytes_of(current_.values) + draws_.size() * sizeof(draws_[0]); }

 private:
  void clear() {
    tape_.clear();
    tape_.set_step(step_);
  }
  std::uint32_t& draw_at(Index position) { return draws_[static_cast<std::size_t>(position)]; }

  // The state at `from` as variables, or as what the cell records for its first one.
  State begin_part(Index from) {
    clear();
    variables_.clear();
    if (from == 0 && start_ == nullptr) return cell_->zero_state(tape_, batch_);
    tape_.set_draw(draw_at(from));
    return restore_variables(tape_, current_, like_, variables_);
  }

  // Records the block that begins at `from`, with its losses where they are wanted, as they would be recorded without
  // checkpoints. Where nobody has been so far, losses are counted; `roots`, when there is somewhere to put them, become
  // those of the block.
  State block(Index from, Tensor x, const State& state, std::vector<SplitBackward::Root>* roots) {
    const bool first = from >= seen_;
    const auto visit = [&](Index position, const State& s) {
      Tensor loss;
      if (*loss_ && (first || roots != nullptr)) loss = (*loss_)(sequence_->step(position), s);
      const bool counts = !loss.same(Tensor());
      if (counts) check(loss);
      if (counts && first) total_ += loss.item();
      if (counts && roots != nullptr) roots->push_back({loss});
      if (first)
        draw_at(position + 1) = tape_.mark().draws;
      else
        tape_.set_draw(draw_at(position + 1));  // a loss that was left out draws too
    };
    const State last = run_block(from, x, state, visit);
    if (first) seen_ = sequence_->end(from);
    return last;
  }

  // visit(position, state) in the order of the run: after each step, or after the block where a cell unrolls itself.
  template <class Visit>
  State run_block(Index from, Tensor x, State state, Visit&& visit) {
    const UnrollOptions options = sequence_->options(tape_, from);
    Index position = from;
    if constexpr (UnrollsItself<C>) {
      unroll(*cell_, x, state, states_, options);
      if (options.reverse) std::reverse(states_.begin(), states_.end());
      for (const State& s : states_) visit(position++, s);
      return states_.back();
    } else {
      unroll_each(*cell_, x, state, options, [&](Index, const State& s) { visit(position++, state = s); });
      return state;
    }
  }

  const C* cell_;
  Index batch_;
  Tape tape_;
  std::uint64_t step_ = 0;

  const CheckpointSequence* sequence_ = nullptr;
  const SavedState* start_ = nullptr;
  const StepLoss* loss_ = nullptr;
  Index seen_ = 0;  // positions before it had their turn
  double total_ = 0;
  std::vector<std::uint32_t> draws_;  // the number of the next draw at each position
  State like_;
  Checkpoint current_;

  std::vector<State> states_;
  std::vector<Tensor> variables_, inputs_;
  std::vector<SplitBackward::Root> roots_;
};

}  // namespace rw::detail
