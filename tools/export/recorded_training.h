#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rewind/tools/export/recorded_step.h>

namespace rw {

/// The gradient of one step, recorded: of its loss, and of what the steps after it make of its state.
struct RecordedGradient {
  Tape tape;
  Tensor x = {}, target = {}, loss = {};
  std::vector<Tensor> state = {}, state_cotangents = {}, next_cotangents = {}, gradients = {};
  std::vector<const Parameter*> parameters = {};
};

/// A step, and its gradient for training where the header runs.
struct RecordedTraining {
  RecordedStep step;
  RecordedGradient gradient;
};

namespace detail {

RecordedGradient begin_gradient(const RecordedStep& step, const StepInputs& target);
/// From the loss and the state after the step. Throws Error for a loss that is no number.
void end_gradient(RecordedGradient& r, Tensor loss, const std::vector<Tensor>& next,
                  const std::vector<NamedParameter>& parameters);

}  // namespace detail

/// Records a step as `record_step` does, and the gradient of `loss(y, target)`, a number, for those of the parameters
/// that are not frozen. Throws as `record_step` does, and Error for a state of whole numbers.
template <class ZeroState, class Step, class Loss>
RecordedTraining record_training(const StepInputs& x, const StepInputs& target, DType real, const ZeroState& zero_state,
                                 const Step& step, const Loss& loss, std::vector<NamedParameter> parameters) {
  RecordedTraining out{.step = record_step(x, real, zero_state, step), .gradient = {.tape = Tape()}};
  out.step.names = std::move(parameters);
  out.gradient = detail::begin_gradient(out.step, target);
  Tape values(real);
  auto state = zero_state(values);
  std::size_t i = 0;
  for_each_tensor(state, [&](Tensor& t) { t = out.gradient.state[i++]; });
  const Tensor y = step(out.gradient.x, state);
  std::vector<Tensor> next;
  for_each_tensor(state, [&](const Tensor& t) { next.push_back(t); });
  detail::end_gradient(out.gradient, loss(y, out.gradient.target), next, out.step.names);
  return out;
}

/// A cell with a linear layer on its output, trained to give targets [out] with `loss`, such as
/// `[](Tensor y, Tensor target) { return mse(y, target); }`.
template <Cell C, class Loss>
RecordedTraining record_training(const Readout<C>& model, Index in, const Loss& loss, DType real = DType::f32) {
  static_assert(detail::Steps<C>, "the steps of a cell that depends on the time differ");
  return record_training(
      {{1, in}}, {{1, model.head().out()}}, real, [&](Tape& tape) { return model.cell().zero_state(tape, 1); },
      [&](Tensor x, typename C::State& state) {
        const Scope scope(x.tape(), model.name());
        state = model.cell().step(x, state);
        return model.head()(output(model.cell(), state));
      },
      loss, model.named_parameters());
}

/// One character -> logits of the next, trained to give the next character by its cross-entropy.
RecordedTraining record_training(const CharModel& model, DType real = DType::f32);

}  // namespace rw
