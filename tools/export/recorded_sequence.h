#pragma once

#include <array>
#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/models/module.h>
#include <rewind/models/sequence/readout.h>
#include <rewind/models/sequence/recurrent.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/models/state.h>
#include <rewind/models/text/char_model.h>
#include <rewind/tools/export/recorded_step.h>

namespace rw {

/// A function of a sequence that carries a state, (x, state) -> (y, state), recorded as shapes and ops at three sizes:
/// what differs between them is what follows from the number of steps and from the batch.
struct RecordedSequence {
  /// Of one recording.
  struct Size {
    Index steps = 0, batch = 0;
  };
  struct Trace {
    Tape tape;
    Tensor x = {}, y = {};
    std::vector<Tensor> state = {}, last = {};
  };
  /// The first, one with more steps, one with a larger batch. Of so many steps that whatever there is one of for each
  /// is a loop: a dozen nodes may stay a list when they are folded.
  static constexpr std::array<Size, 3> sizes{{{16, 2}, {18, 2}, {16, 3}}};
  std::vector<Trace> traces = {};
  /// The state before the first step, of one sequence.
  std::vector<Array> start = {};
  /// The parameters' dotted names, for the names of weights; those without one keep their own.
  std::vector<NamedParameter> names = {};
  /// What the indices of x, and of y's numbers, stand for; may be empty.
  std::u32string characters = {};
};

namespace detail {

/// A tracing tape of this type with x [T, N, features...] and a state of these shapes.
RecordedSequence::Trace begin_sequence(const StepInputs& features, RecordedSequence::Size size,
                                       const std::vector<Array>& start, DType real);
/// Throws Error unless y has numbers and the state has as many tensors as before.
void check_sequence_of(const RecordedSequence::Trace& trace);

}  // namespace detail

/// Records `y = run(x, state)`, which changes the state, for x [T, N, features...] (with `StepInputs{{3}}` three
/// numbers at a step, with `{{}, true}` an index) and a state that begins as `zero_state(tape, N)`. The state's numbers
/// are inputs of what is recorded, its last ones outputs. Throws Error for a function that looks at values, and as the
/// functions do.
template <class ZeroState, class Run>
RecordedSequence record_sequence(const StepInputs& features, DType real, const ZeroState& zero_state, const Run& run) {
  RecordedSequence out;
  Tape one(real);
  auto start = zero_state(one, 1);
  out.start = save_state(start);
  for (const RecordedSequence::Size size : RecordedSequence::sizes) {
    Tape values(real);
    auto state = zero_state(values, size.batch);
    out.traces.push_back(detail::begin_sequence(features, size, save_state(state), real));
    RecordedSequence::Trace& trace = out.traces.back();
    std::size_t i = 0;
    for_each_tensor(state, [&](Tensor& t) { t = trace.state[i++]; });
    trace.y = run(trace.x, state);
    for_each_tensor(state, [&](const Tensor& t) { trace.last.push_back(t); });
    detail::check_sequence_of(trace);
  }
  return out;
}

/// A cell, a Stack, both directions, or any Layer, whose input has `in` features: y is its output at every step, or,
/// without `return_sequences`, at the last one. Modules should be in `eval()`.
template <Layer L>
RecordedSequence record_sequence(const L& layer, Index in, DType real = DType::f32,
                                 const RecurrentOptions& options = {}) {
  RecordedSequence out = record_sequence(
      StepInputs{{in}}, real, [&](Tape& tape, Index batch) { return layer.zero_state(tape, batch); },
      [&](Tensor x, typename L::State& state) {
        const auto states = unroll(layer, x, state);
        state = last_state(layer, states);
        return options.return_sequences ? outputs(layer, states) : output(layer, state);
      });
  if constexpr (std::derived_from<L, Module>) out.names = layer.named_parameters();
  return out;
}

/// The same with a linear layer on its output. Every step has one, whatever the model's options say.
template <Layer L>
RecordedSequence record_sequence(const Readout<L>& model, Index in, DType real = DType::f32) {
  RecordedSequence out = record_sequence(
      StepInputs{{in}}, real, [&](Tape& tape, Index batch) { return model.cell().zero_state(tape, batch); },
      [&](Tensor x, typename L::State& state) {
        const auto states = unroll(model.cell(), x, state);
        state = last_state(model.cell(), states);
        return model.head()(outputs(model.cell(), states));
      });
  out.names = model.named_parameters();
  return out;
}

/// Characters [T, N] -> logits of those that follow, [T, N, V].
RecordedSequence record_sequence(const CharModel& model, DType real = DType::f32);

}  // namespace rw
