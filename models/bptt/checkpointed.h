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
#include <rewind/models/bptt/checkpoint_options.h>
#include <rewind/models/bptt/checkpoint_schedule.h>
#include <rewind/models/bptt/checkpoint_sequence.h>
#include <rewind/models/bptt/checkpoint_state.h>
#include <rewind/models/bptt/checkpoint_tape.h>
#include <rewind/models/cells/cell.h>

namespace rw {

/// Back-propagation through all of a long sequence in little memory: some states are stored, the steps between them are
/// computed again when the backward comes to them (binomial checkpointing: see checkpoint_schedule.h). The gradients
/// are those of one tape and one `backward`, to the bit, dropout and all, whatever the budget:
/// - with `{.block = 1}`, of a loop over the cell's `step`, in which losses are recorded as states appear;
/// - with other blocks, which take fewer and larger products, of `unroll_in_blocks`; `unroll`, which takes one product
///   for all steps, may differ in the last bits, and it keeps what a budget has no room for;
/// - of `unroll` for a cell without `project` that is no Stack, and for a block of all steps.
///
///     CheckpointedBptt bptt(cell, batch, {.bytes = 16 << 20});
///     double loss = bptt.backward(x, [&](const auto& last) {      // adds to Parameter::grad
///       return mse(last.h, bptt.tape().constant(target));
///     });
///
/// With `{.lengths = ...}` the batch is padded, with `{.reverse = true}` it is read from its end. This object owns the
/// tape, and each call begins by clearing it. Each call is a step of the tape (see `Tape::step`): two calls draw
/// different dropout masks, and what is computed again within one draws the same. `compile` cannot trace it. It takes
/// any Cell; Bidirectional is none.
template <class C>
class CheckpointedBptt {
 public:
  static_assert(
      Cell<C>,
      "CheckpointedBptt takes a Cell: layers in both directions need both ends of the sequence at every step; "
      "take a cell for each direction, one with {.reverse = true}");
  using State = typename C::State;

  /// The cell must outlive this object. Throws Error for a block or states below 1, for bytes and states together, and
  /// for a tape that traces.
  CheckpointedBptt(const C& cell, Index batch, const CheckpointOptions& options = {}, const TapeOptions& tape = {})
      : cell_(&cell), batch_(batch), options_(options), part_(cell, batch, tape), sums_(tape.dtype) {
    detail::check(options, tape);
  }

  /// The tape of the steps that are being recorded; losses are recorded on it too.
  Tape& tape() { return part_.tape(); }
  /// Sequences side by side.
  Index batch() const { return batch_; }

  /// Runs the cell over x [T, N, in], or indices [T, N], and goes backward from `loss(last)`, a scalar of the last
  /// state. Adds to Parameter::grad and returns the loss. Throws Error as `unroll` and `backward` do, and, saying the
  /// minimum, for a budget below it; parameters' gradients and the last state are then as they were.
  template <class Loss>
  double backward(ConstView x, Loss&& loss, const CheckpointedRun& how = {})  //
      requires std::is_invocable_r_v<Tensor, Loss&, const State&> {
    return run(x, how, std::ref(loss), nullptr);
  }
  /// The same for a loss at every step: the sum of all `loss(t, state)`, each a scalar, or an empty Tensor for a step
  /// without one. States appear in order, are not stored, and have no gradient then (their tape records none); each
  /// appears again on the way back, with the same values. A budget in bytes takes a look at the first blocks before.
  template <class Loss>
  double backward_each(ConstView x, Loss&& loss, const CheckpointedRun& how = {})  //
      requires std::is_invocable_r_v<Tensor, Loss&, Index, const State&> {
    return run(x, how, nullptr, std::ref(loss));
  }
  /// The same of a Tensor's value, through which no gradient flows. Throws Error while `compile` traces.
  template <class Loss>
  double backward(Tensor x, Loss&& loss, const CheckpointedRun& how = {}) {
    return backward(detail::values_to_checkpoint(x), loss, how);
  }
  /// The same for an input on a tape.
  template <class Loss>
  double backward_each(Tensor x, Loss&& loss, const CheckpointedRun& how = {}) {
    return backward_each(detail::values_to_checkpoint(x), loss, how);
  }

  /// Sequences begin at this state from now on, in place of the cell's zero_state (through which gradients reach its
  /// parameters, if it has any). Throws Error when it does not fit the cell and batch.
  void set_start(SavedState start) {
    Tape scratch(tape().dtype());
    restore_state(scratch, start, cell_->zero_state(scratch, batch_));
    start_ = std::move(start);
  }
  /// The next run begins from the cell's zero state.
  void reset_start() { start_.reset(); }

  /// After a backward: the state after the last step, to carry on; the gradient of the start that was set (zeros where
  /// none flowed); that of the inputs, of x's shape, when options ask for it; and what was done.
  const SavedState& last_state() const { return last_state_; }
  /// The gradient of the state that the last run began from.
  const SavedState& start_gradient() const { return start_gradient_; }
  /// The gradient of the last run's input.
  const Array& input_gradient() const { return input_gradient_; }
  /// What was decided for the last run.
  const CheckpointPlan& plan() const { return plan_; }

 private:
  using LastLoss = std::function<Tensor(const State&)>;
  using StepLoss = typename detail::CheckpointTape<C>::StepLoss;

  // All of a run is told in positions: see CheckpointSequence.
  struct RunState {
    detail::CheckpointSequence sequence;
    LastLoss last;
    StepLoss each;
    double loss = 0;
    std::vector<std::optional<Array>> cotangents{};
    std::vector<detail::Checkpoint> places{};
    Array input_gradient{};
  };

  double run(ConstView x, const CheckpointedRun& how, LastLoss last, StepLoss each) {
    RunState r{.sequence = {.x = x, .reverse = how.reverse, .block = options_.block},
               .last = std::move(last),
               .each = std::move(each)};
    if (how.lengths) r.sequence.lengths = how.lengths->view();
    detail::check(r.sequence, batch_, options_.input_gradient);
    sums_.clear();
    part_.begin_step();
    begin(r);
    const Index steps = r.sequence.steps();
    const CheckpointPlan plan = steps > 0 ? make_plan(r) : CheckpointPlan();
    begin(r);
    if (steps > 0)
      follow(r, plan);
    else
      start_alone(r);
    if (steps > 0 && sums_.bytes() == 0 && !start_.has_value() && !options_.input_gradient)
      throw Error("checkpointed bptt: no parameter that the loss depends on needs a gradient: all are frozen");
    sums_.commit();
    plan_ = plan;
    last_state_ = std::move(last_);
    start_gradient_ = std::move(new_start_gradient_);
    input_gradient_ = std::move(r.input_gradient);
    return r.each ? part_.total() : r.loss;
  }

  // The first state becomes the current one.
  void begin(RunState& r) {
    part_.begin(r.sequence, start_.has_value() ? &*start_ : nullptr, r.each);
    r.cotangents.clear();
    if (options_.input_gradient) r.input_gradient = Array(r.sequence.x.shape, tape().dtype());
  }

  // Of no steps: the last state is the first, and its gradient that of the loss, if it has one.
  void start_alone(RunState& r) {
    const State state = part_.record(0, 0, options_.input_gradient);
    save_state(state, last_);
    if (r.last) {
      const Tensor loss = r.last(state);
      part_.check(loss);
      if (loss.needs_grad()) sums_.run({{loss}});
      r.loss = loss.item();
    }
    take_gradients(r, 0);
  }

  void follow(RunState& r, const CheckpointPlan& plan) {
    r.places.resize(static_cast<std::size_t>(plan.places));
    const auto place = [&](Index i) -> detail::Checkpoint& { return r.places[static_cast<std::size_t>(i)]; };
    run_checkpoints(plan.segments, plan.places,
                    {.advance =
                         [&](Index from, Index to) {
                           for (Index p = from * plan.segment; p < to * plan.segment; p += options_.block)
                             part_.advance(p);
                         },
                     .store = [&](Index i) { detail::copy_checkpoint(part_.current(), place(i)); },
                     .load = [&](Index i) { detail::copy_checkpoint(place(i), part_.current()); },
                     .reverse =
                         [&](Index segment) {
                           const Index from = segment * plan.segment;
                           reverse(r, from, std::min(from + plan.segment, r.sequence.steps()));
                         }});
  }

  void reverse(RunState& r, Index from, Index to) {
    const State state = part_.record(from, to, options_.input_gradient);
    std::vector<SplitBackward::Root>& roots = part_.roots();
    if (to == r.sequence.steps()) {
      save_state(state, last_);
      if (r.last) return reverse_last(r, from, r.last(state));
    } else {
      std::size_t i = 0;
      std::vector<std::size_t> alias;
      detail::first_same(state, alias);
      for_each_tensor(state, [&](const Tensor& t) {
        if (alias[i] == i && r.cotangents[i].has_value()) roots.insert(roots.begin(), {t, r.cotangents[i]->view()});
        ++i;
      });
    }
    sums_.run(roots);
    take_gradients(r, from);
  }

  // Where a loss of the last state alone has no gradient, `backward` says why.
  void reverse_last(RunState& r, Index from, Tensor loss) {
    part_.check(loss);
    if (!loss.needs_grad()) rw::backward(loss);
    sums_.run({{loss}});
    r.loss = loss.item();
    take_gradients(r, from);
  }

  void take_gradients(RunState& r, Index from) {
    const SavedState& values = part_.current().values;
    const std::vector<Tensor>& variables = part_.variables();
    r.cotangents.resize(values.size());
    new_start_gradient_.clear();
    for (std::size_t i = 0; i < variables.size(); ++i) {
      std::optional<Array>& cotangent = r.cotangents[i];
      if (!tape().has_grad(variables[i]))
        cotangent.reset();
      else
        detail::copy_array(tape().grad(variables[i]), cotangent ? *cotangent : cotangent.emplace());
      if (from == 0) new_start_gradient_.push_back(cotangent.value_or(Array(values[i].shape(), values[i].dtype())));
    }
    if (!options_.input_gradient) return;
    Index p = from;
    for (const Tensor& x : part_.inputs()) {
      if (tape().has_grad(x)) add_into(tape().grad(x), r.sequence.part(r.input_gradient.view(), p));
      p = r.sequence.end(p);
    }
  }

  CheckpointPlan make_plan(RunState& r) {
    const Index steps = r.sequence.steps();
    if (options_.states.has_value()) return detail::plan_with_places(steps, options_.block, *options_.states);
    detail::CheckpointSizes sizes{.steps = steps, .block = options_.block};
    sizes.one_block = measure(r, 1);
    sizes.state = static_cast<double>(detail::bytes_of(part_.current().values));
    sizes.fixed = 3 * sizes.state + static_cast<double>(sums_.bytes() + part_.bytes());
    // A second block is worth a look where there is room for it.
    const double room = options_.bytes.has_value() ? static_cast<double>(*options_.bytes) : 1e300;
    if (options_.block < steps && room > sizes.held(1) + sizes.one_block.held()) sizes.two_blocks = measure(r, 2);
    sums_.clear();
    const CheckpointPlan plan =
        options_.bytes.has_value() ? detail::plan_within(sizes, *options_.bytes) : detail::plan_smallest(sizes);
    detail::reserve_nodes(tape(), sizes.blocks((plan.segment + options_.block - 1) / options_.block));
    return plan;
  }

  // What the tape needs for the first blocks, with a gradient to every tensor of the state behind them.
  detail::TapeUse measure(RunState& r, Index blocks) {
    tape().reset_peak();
    part_.stop_counting();
    const State state = part_.record(0, std::min(blocks * options_.block, r.sequence.steps()), options_.input_gradient);
    for_each_tensor(state, [&](const Tensor& t) {
      if (is_real(t.dtype())) part_.roots().push_back({t, t.value()});
    });
    sums_.run(part_.roots());
    return detail::TapeUse::of(tape());
  }

  const C* cell_;
  Index batch_;
  CheckpointOptions options_;
  detail::CheckpointTape<C> part_;
  SplitBackward sums_;
  std::optional<SavedState> start_;
  SavedState last_state_, start_gradient_;
  Array input_gradient_;
  CheckpointPlan plan_;

  SavedState last_, new_start_gradient_;  // of the run
};

}  // namespace rw
