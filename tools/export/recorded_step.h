#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/models/cells/cell.h>
#include <rewind/models/module.h>
#include <rewind/models/sequence/readout.h>
#include <rewind/models/state.h>
#include <rewind/models/text/char_model.h>

namespace rw {

/// What enters a step: rows of real numbers, or indices.
struct StepInputs {
  /// Of one step: {1, 3} for three features of one sequence, {1} for one index.
  Shape shape;
  /// Whether they are indices (i32).
  bool indices = false;
};

/// One step of a function that carries a state, recorded as shapes and ops: (x, state) -> (y, state).
struct RecordedStep {
  Tape tape;
  Tensor x = {}, y = {};
  std::vector<Tensor> state = {}, next = {};
  /// The state before the first step.
  std::vector<Array> start = {};
  /// The parameters' dotted names, for the names of weights; those without one keep their own.
  std::vector<NamedParameter> names = {};
  /// What the indices of x, and of y's numbers, stand for; may be empty.
  std::u32string characters = {};
};

namespace detail {

/// A tracing tape of this type with x and a state of these shapes.
RecordedStep begin_step(const StepInputs& x, std::vector<Array> start, DType real);
/// Throws Error unless y has numbers and the state after the step is shaped as before it.
void check_step(const RecordedStep& step);

}  // namespace detail

/// Records `y = step(x, state)`, which changes the state, from `zero_state(tape)` on:
///
///     record_step({{1, 3}}, DType::f32, [&](Tape& tape) { return cell.zero_state(tape, 1); },
///                 [&](Tensor x, auto& state) { state = cell.step(x, state); return head(state.h); });
///
/// Throws Error for a step that changes the state's shapes, and as the functions do; for a step that looks at values,
/// too.
template <class ZeroState, class Step>
RecordedStep record_step(const StepInputs& x, DType real, const ZeroState& zero_state, const Step& step) {
  Tape values(real);
  auto state = zero_state(values);
  RecordedStep out = detail::begin_step(x, save_state(state), real);
  std::size_t i = 0;
  for_each_tensor(state, [&](Tensor& t) { t = out.state[i++]; });
  out.y = step(out.x, state);
  for_each_tensor(state, [&](const Tensor& t) { out.next.push_back(t); });
  detail::check_step(out);
  return out;
}

/// One step of a cell whose input has `in` features: y is its output. A cell that is a Module should be in `eval()`.
/// Throws Error for a cell whose steps depend on the time.
template <Cell C>
RecordedStep record_step(const C& cell, Index in, DType real = DType::f32) {
  if constexpr (!detail::Steps<C>) {
    throw Error("cell '" + scope_name(cell) + "' depends on the time: its steps differ, and one of them is no program");
  } else {
    RecordedStep out = record_step(
        StepInputs{{1, in}}, real, [&](Tape& tape) { return cell.zero_state(tape, 1); },
        [&](Tensor x, typename C::State& state) {
          const Scope scope(x.tape(), scope_name(cell));
          state = cell.step(x, state);
          return output(cell, state);
        });
    if constexpr (std::derived_from<C, Module>) out.names = cell.named_parameters();
    return out;
  }
}

/// The same of a cell with a linear layer on its output.
template <Cell C>
RecordedStep record_step(const Readout<C>& model, Index in, DType real = DType::f32) {
  static_assert(detail::Steps<C>, "the steps of a cell that depends on the time differ");
  RecordedStep out = record_step(
      StepInputs{{1, in}}, real, [&](Tape& tape) { return model.cell().zero_state(tape, 1); },
      [&](Tensor x, typename C::State& state) {
        const Scope scope(x.tape(), model.name());
        state = model.cell().step(x, state);
        return model.head()(output(model.cell(), state));
      });
  out.names = model.named_parameters();
  return out;
}

/// One character -> logits of the next.
RecordedStep record_step(const CharModel& model, DType real = DType::f32);

}  // namespace rw
