#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/recorded_step.h>

namespace rw {

RecordedStep detail::begin_step(const StepInputs& x, std::vector<Array> start, DType real) {
  RecordedStep out{.tape = Tape({.dtype = real, .trace = true}), .start = std::move(start)};
  out.x = out.tape.input(x.shape, x.indices ? DType::i32 : real);
  for (const Array& s : out.start) out.state.push_back(out.tape.input(s.shape(), s.dtype()));
  return out;
}

void detail::check_step(const RecordedStep& step) {
  if (step.y.size() == 0) throw Error("export: the step has no output: y is " + step.y.shape().str());
  if (step.next.size() != step.state.size())
    throw Error(fmt::format("export: a state of {} tensors becomes one of {}", step.state.size(), step.next.size()));
  for (std::size_t i = 0; i < step.next.size(); ++i)
    if (step.next[i].shape() != step.state[i].shape() || step.next[i].dtype() != step.state[i].dtype())
      throw Error(fmt::format("export: tensor {} of the state is {} before the step and {} after it", i,
                              step.state[i].shape().str(), step.next[i].shape().str()));
}

RecordedStep record_step(const CharModel& model, DType real) {
  RecordedStep out = record_step(
      StepInputs{.shape = {1}, .indices = true}, real, [&](Tape& tape) { return model.zero_state(tape, 1); },
      [&](Tensor x, CharModel::State& state) {
        const Tensor logits = model.logits(reshape(x, {1, 1}), state);
        return reshape(logits, {1, logits.size(-1)});
      });
  out.names = model.named_parameters();
  out.characters = model.vocabulary().characters();
  return out;
}

}  // namespace rw
