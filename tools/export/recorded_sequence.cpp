#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/recorded_sequence.h>

namespace rw {

RecordedSequence::Trace detail::begin_sequence(const StepInputs& features, RecordedSequence::Size size,
                                               const std::vector<Array>& start, DType real) {
  RecordedSequence::Trace out{.tape = Tape({.dtype = real, .trace = true})};
  std::vector<Index> lengths{size.steps, size.batch};
  lengths.insert(lengths.end(), features.shape.begin(), features.shape.end());
  out.x = out.tape.input(Shape(std::span<const Index>(lengths)), features.indices ? DType::i32 : real);
  for (const Array& s : start) out.state.push_back(out.tape.input(s.shape(), s.dtype()));
  return out;
}

void detail::check_sequence_of(const RecordedSequence::Trace& trace) {
  if (trace.y.size() == 0) throw Error("export: the function has no output: y is " + trace.y.shape().str());
  if (trace.last.size() != trace.state.size())
    throw Error(fmt::format("export: a state of {} tensors becomes one of {}", trace.state.size(), trace.last.size()));
}

RecordedSequence record_sequence(const CharModel& model, DType real) {
  RecordedSequence out = record_sequence(
      StepInputs{.shape = {}, .indices = true}, real,
      [&](Tape& tape, Index batch) { return model.zero_state(tape, batch); },
      [&](Tensor x, CharModel::State& state) { return model.logits(x, state); });
  out.names = model.named_parameters();
  out.characters = model.vocabulary().characters();
  return out;
}

}  // namespace rw
