#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/split_backward.h>
#include <rewind/core/reduce.h>
#include <rewind/models/cell.h>
#include <rewind/models/checkpoint_schedule.h>
#include <rewind/models/unroll.h>

namespace rw {

struct CheckpointOptions {
  /// At most so many bytes: tape, stored states, sums of gradients; the loss on the last state comes on top.
  std::optional<std::size_t> bytes = std::nullopt;
  /// Or: so many states stored at a time, the first one among them, and one block on the tape. At least 1.
  std::optional<Index> states = std::nullopt;
  // With neither: the least memory with which every step is computed twice at most.

  /// Steps that are recorded at a time: see `unroll_in_blocks`.
  Index block = 8;
  /// Compute the gradient of the inputs too.
  bool input_gradient = false;
};

namespace detail {

/// Values of a state away from any tape, and which of its tensors are one node: alias[i] is the first that is the same.
struct Checkpoint {
  SavedState values;
  std::vector<std::size_t> alias;
};

/// Copies into memory that fits.
void copy_checkpoint(const Checkpoint& from, Checkpoint& to);
void copy_array(ConstView from, Array& to);
std::size_t bytes_of(const SavedState& state);
/// Steps [from, from + count) of x [T, ...].
ConstView steps_of(ConstView x, Index from, Index count);
View steps_of(View x, Index from, Index count);
/// Throws Error for options that make no sense.
void check(const CheckpointOptions& options, const TapeOptions& tape);
/// Throws Error unless x is [T, batch, ...], contiguous, with at least one step.
void check_sequence(ConstView x, Index batch, bool input_gradient);
/// The values of x. Throws Error while compile traces.
ConstView values_to_checkpoint(Tensor x);

}  // namespace detail

/// Back-propagation through all of a long sequence in little memory: some states are stored, the steps between them are
/// computed again when the backward comes to them (binomial checkpointing: see checkpoint_schedule.h). The gradients
/// are those of `unroll_in_blocks` with the same block and one `backward`, to the bit, dropout and all, whatever the
/// budget; a cell without `project` (and that is no Stack) gives the bits of plain `unroll` too.
///
///     CheckpointedBptt bptt(cell, batch, {.bytes = 16 << 20});
///     double loss = bptt.backward(x, [&](const auto& last) {      // adds to Parameter::grad
///       return mse(last.h, bptt.tape().constant(target));
///     });
///
/// This object owns the tape, and each call begins by clearing it. `compile` cannot trace it.
template <Cell C>
class CheckpointedBptt {
 public:
  using State = typename C::State;

  /// The cell must outlive this object. Throws Error for a block or states below 1, for bytes and states together, and
  /// for a tape that traces.
  CheckpointedBptt(const C& cell, Index batch, const CheckpointOptions& options = {}, const TapeOptions& tape = {})
      : cell_(&cell), batch_(batch), options_(options), tape_(tape), sums_(tape.dtype) {
    detail::check(options, tape);
  }

  /// The tape of the steps that are being recorded; losses are recorded on it too.
  Tape& tape() { return tape_; }
  Index batch() const { return batch_; }

  /// Runs the cell over x [T, N, in], or indices [T, N], and goes backward from `loss(last)`, a scalar of the last
  /// state. Adds to Parameter::grad and returns the loss. Throws Error as `unroll` and `backward` do, and, saying the
  /// minimum, for a budget below it; parameters' gradients and the last state are then as they were.
  template <class Loss>
  double backward(ConstView x, Loss&& loss) requires std::is_invocable_r_v<Tensor, Loss&, const State&> {
    return run(x, {.last = std::ref(loss)});
  }
  /// The same for a loss at every step: the sum of all `loss(t, state)`, each a scalar, or an empty Tensor for a step
  /// without one. States appear in order, are not stored, and have no gradient then (their tape records none); each
  /// appears again on the way back, with the same values. A budget in bytes takes a look at the first blocks before.
  template <class Loss>
  double backward_each(ConstView x, Loss&& loss) requires std::is_invocable_r_v<Tensor, Loss&, Index, const State&> {
    return run(x, {.each = std::ref(loss)});
  }
  /// The same of a Tensor's value, through which no gradient flows. Throws Error while `compile` traces.
  template <class Loss>
  double backward(Tensor x, Loss&& loss) {
    return backward(detail::values_to_checkpoint(x), loss);
  }
  template <class Loss>
  double backward_each(Tensor x, Loss&& loss) {
    return backward_each(detail::values_to_checkpoint(x), loss);
  }

  /// Sequences begin at this state from now on, in place of the cell's zero_state (through which gradients reach its
  /// parameters, if it has any). Throws Error when it does not fit the cell and batch.
  void set_start(SavedState start) {
    tape_.clear();
    restore_state(tape_, start, cell_->zero_state(tape_, batch_));
    start_ = std::move(start);
  }
  void reset_start() { start_.reset(); }

  /// After a backward: the state after the last step, to carry on; the gradient of the start that was set (zeros where
  /// none flowed); that of the inputs, of x's shape, when options ask for it; and what was done.
  const SavedState& last_state() const { return last_state_; }
  const SavedState& start_gradient() const { return start_gradient_; }
  const Array& input_gradient() const { return input_gradient_; }
  const CheckpointPlan& plan() const { return plan_; }

 private:
  struct Losses {
    std::function<Tensor(const State&)> last = nullptr;
    std::function<Tensor(Index, const State&)> each = nullptr;
  };
  struct Run {
    ConstView x;
    Losses losses;
    Index steps, seen = 0;
    double loss = 0;
    std::vector<std::uint32_t> draws{};  // the number of the next draw at the beginning of each block
    std::vector<std::optional<Array>> cotangents{};
    std::vector<detail::Checkpoint> places{};
    Array input_gradient{};
  };

  double run(ConstView x, Losses losses) {
    detail::check_sequence(x, batch_, options_.input_gradient);
    sums_.clear();
    Run r{.x = x, .losses = std::move(losses), .steps = x.shape[0]};
    begin(r);
    const CheckpointPlan plan = make_plan(r);
    begin(r);
    r.places.resize(static_cast<std::size_t>(plan.places));
    const auto place = [&](Index i) -> detail::Checkpoint& { return r.places[static_cast<std::size_t>(i)]; };
    run_checkpoints(plan.segments, plan.places,
                    {.advance =
                         [&](Index from, Index to) {
                           for (Index t = from * plan.segment; t < to * plan.segment; t += options_.block)
                             advance(r, t);
                         },
                     .store = [&](Index i) { detail::copy_checkpoint(current_, place(i)); },
                     .load = [&](Index i) { detail::copy_checkpoint(place(i), current_); },
                     .reverse =
                         [&](Index segment) {
                           const Index from = segment * plan.segment;
                           reverse(r, from, std::min(from + plan.segment, r.steps));
                         }});
    if (sums_.bytes() == 0 && !start_.has_value() && !options_.input_gradient)
      throw Error("checkpointed bptt: no parameter that the loss depends on needs a gradient: all are frozen");
    sums_.commit();
    plan_ = plan;
    last_state_ = std::move(last_);
    start_gradient_ = std::move(new_start_gradient_);
    input_gradient_ = std::move(r.input_gradient);
    return r.loss;
  }

  // The first state becomes the current one.
  void begin(Run& r) {
    tape_.clear();
    const NoGrad no_gradient(tape_);
    like_ = cell_->zero_state(tape_, batch_);
    r.draws.assign(static_cast<std::size_t>((r.steps + options_.block - 1) / options_.block) + 1, 0);
    r.draws[0] = start_.has_value() ? 0 : tape_.mark().draws;
    r.seen = 0;
    r.loss = 0;
    r.cotangents.clear();
    keep(start_.has_value() ? restore_state(tape_, *start_, like_) : like_, current_);
    if (options_.input_gradient) r.input_gradient = Array(r.x.shape, tape_.dtype());
  }

  void keep(const State& state, detail::Checkpoint& into) {
    save_state(state, into.values);
    first_same(state, into.alias);
  }
  static void first_same(const State& state, std::vector<std::size_t>& alias) {
    InlineVector<Tensor, 8> all;
    for_each_tensor(state, [&](const Tensor& t) { all.push_back(t); });
    alias.resize(all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
      alias[i] = static_cast<std::size_t>(
          std::find_if(all.begin(), all.begin() + i, [&](const Tensor& t) { return t.same(all[i]); }) - all.begin());
  }

  void check_tape(const Tensor& loss) {
    if (&loss.tape().data() != &tape_.data())
      throw Error("checkpointed bptt: the loss is on another tape: record it on that of the state it is given");
  }

  Index block_end(const Run& r, Index t) const { return std::min(t + options_.block, r.steps); }
  std::size_t block_of(Index t) const { return static_cast<std::size_t>(t / options_.block); }

  // Records one block from `state` on. Where nobody has been so far, losses are counted; `roots`, when there is
  // somewhere to put them, become those of the block.
  State block(Run& r, Index t, Tensor x, const State& state, std::vector<SplitBackward::Root>* roots) {
    const bool first = t >= r.seen;
    unroll(*cell_, x, state, states_);
    if (r.losses.each && (first || roots != nullptr))
      for (std::size_t i = 0; i < states_.size(); ++i) {
        const Tensor loss = r.losses.each(t + static_cast<Index>(i), states_[i]);
        if (loss.same(Tensor())) continue;
        check_tape(loss);
        if (first) r.loss += loss.item();
        if (roots != nullptr) roots->push_back({loss});
      }
    if (first) {
      r.seen = block_end(r, t);
      r.draws[block_of(t) + 1] = tape_.mark().draws;
    }
    return states_.back();
  }

  // One block without gradients: the current state goes on to its end.
  void advance(Run& r, Index t) {
    tape_.clear();
    const NoGrad no_gradient(tape_);
    tape_.set_draw(r.draws[block_of(t)]);
    const State state = restore_state(tape_, current_.values, like_);
    const Tensor x = tape_.constant(detail::steps_of(r.x, t, block_end(r, t) - t));
    keep(block(r, t, x, state, nullptr), current_);
  }

  // The state at `from` as variables, or as what the cell records for its first one.
  State begin_segment(const Run& r, Index from) {
    tape_.clear();
    variables_.clear();
    if (from == 0 && !start_.has_value()) return cell_->zero_state(tape_, batch_);
    tape_.set_draw(r.draws[block_of(from)]);
    State state = like_;
    for_each_tensor(state, [&](Tensor& t) {
      const std::size_t i = variables_.size();
      const Array& value = current_.values[i];
      if (current_.alias[i] != i)
        t = variables_[current_.alias[i]];
      else
        t = is_real(value.dtype()) ? tape_.variable(value) : tape_.constant(value);
      variables_.push_back(t);
    });
    return state;
  }

  // Records the segment and its losses, and gives what a backward starts from. `x_blocks_` are its inputs.
  State record_segment(Run& r, Index from, Index to) {
    roots_.clear();
    x_blocks_.clear();
    State state = begin_segment(r, from);
    for (Index t = from; t < to; t += options_.block) {
      const ConstView values = detail::steps_of(r.x, t, block_end(r, t) - t);
      x_blocks_.push_back(options_.input_gradient ? tape_.variable(values) : tape_.constant(values));
      state = block(r, t, x_blocks_.back(), state, &roots_);
    }
    return state;
  }

  void reverse(Run& r, Index from, Index to) {
    const State state = record_segment(r, from, to);
    if (to == r.steps) {
      save_state(state, last_);
      if (r.losses.last) return reverse_last(r, from, r.losses.last(state));
    } else {
      std::size_t i = 0;
      std::vector<std::size_t> alias;
      first_same(state, alias);
      for_each_tensor(state, [&](const Tensor& t) {
        if (alias[i] == i && r.cotangents[i].has_value()) roots_.insert(roots_.begin(), {t, r.cotangents[i]->view()});
        ++i;
      });
    }
    sums_.run(roots_);
    take_gradients(r, from);
  }

  // Where a loss of the last state alone has no gradient, `backward` says why.
  void reverse_last(Run& r, Index from, Tensor loss) {
    check_tape(loss);
    if (!loss.needs_grad()) rw::backward(loss);
    sums_.run({{loss}});
    r.loss = loss.item();
    take_gradients(r, from);
  }

  void take_gradients(Run& r, Index from) {
    r.cotangents.resize(current_.values.size());
    new_start_gradient_.clear();
    for (std::size_t i = 0; i < variables_.size(); ++i) {
      const bool reached = tape_.has_grad(variables_[i]);
      if (reached)
        detail::copy_array(tape_.grad(variables_[i]), r.cotangents[i] ? *r.cotangents[i] : r.cotangents[i].emplace());
      else
        r.cotangents[i].reset();
      if (from == 0)
        new_start_gradient_.push_back(reached ? *r.cotangents[i]
                                              : Array(current_.values[i].shape(), current_.values[i].dtype()));
    }
    if (!options_.input_gradient) return;
    for (std::size_t i = 0; i < x_blocks_.size(); ++i) {
      const Index t = from + static_cast<Index>(i) * options_.block;
      if (tape_.has_grad(x_blocks_[i]))
        add_into(tape_.grad(x_blocks_[i]), detail::steps_of(r.input_gradient.view(), t, x_blocks_[i].size(0)));
    }
  }

  CheckpointPlan make_plan(Run& r) {
    if (options_.states.has_value()) return detail::plan_with_places(r.steps, options_.block, *options_.states);
    detail::CheckpointSizes sizes{.steps = r.steps, .block = options_.block};
    sizes.one_block = measure(r, 1);
    sizes.state = static_cast<double>(detail::bytes_of(current_.values));
    sizes.fixed = 4 * sizes.state + static_cast<double>(sums_.bytes() + r.draws.size() * sizeof(r.draws[0]));
    // A second block is worth a look where there is room for it.
    const double room = options_.bytes.has_value() ? static_cast<double>(*options_.bytes) : 1e300;
    if (options_.block < r.steps && room > sizes.held(1) + sizes.one_block.held()) sizes.two_blocks = measure(r, 2);
    sums_.clear();
    const CheckpointPlan plan =
        options_.bytes.has_value() ? detail::plan_within(sizes, *options_.bytes) : detail::plan_smallest(sizes);
    detail::reserve_nodes(tape_, sizes.blocks((plan.segment + options_.block - 1) / options_.block));
    return plan;
  }

  // What the tape needs for the first blocks, with a gradient to every tensor of the state behind them.
  detail::TapeUse measure(Run& r, Index blocks) {
    tape_.reset_peak();
    r.seen = r.steps;  // nothing counts
    const State state = record_segment(r, 0, std::min(blocks * options_.block, r.steps));
    for_each_tensor(state, [&](const Tensor& t) {
      if (is_real(t.dtype())) roots_.push_back({t, t.value()});
    });
    sums_.run(roots_);
    return detail::TapeUse::of(tape_);
  }

  const C* cell_;
  Index batch_;
  CheckpointOptions options_;
  Tape tape_;
  SplitBackward sums_;
  std::optional<SavedState> start_;
  SavedState last_state_, start_gradient_;
  Array input_gradient_;
  CheckpointPlan plan_;

  // Of the run.
  State like_;
  detail::Checkpoint current_;
  SavedState last_, new_start_gradient_;
  std::vector<State> states_;
  std::vector<Tensor> variables_, x_blocks_;
  std::vector<SplitBackward::Root> roots_;
};

}  // namespace rw
