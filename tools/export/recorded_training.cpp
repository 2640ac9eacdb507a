#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/recorded_training.h>

namespace rw::detail {

RecordedGradient begin_gradient(const RecordedStep& step, const StepInputs& target) {
  const DType real = step.tape.dtype();
  RecordedGradient out{.tape = Tape({.dtype = real, .trace = true})};
  out.x = out.tape.input(step.x.shape(), step.x.dtype());
  out.target = out.tape.input(target.shape, target.indices ? DType::i32 : real);
  for (const Tensor& s : step.state) {
    if (!is_real(s.dtype())) throw Error("export: a state of whole numbers has no gradient: it cannot be trained");
    out.state.push_back(out.tape.input(s.shape(), real));
    out.next_cotangents.push_back(out.tape.input(s.shape(), real));
  }
  return out;
}

void end_gradient(RecordedGradient& r, Tensor loss, const std::vector<Tensor>& next,
                  const std::vector<NamedParameter>& parameters) {
  if (loss.size() != 1) throw Error("export: a loss is one number, not " + loss.shape().str());
  r.loss = loss;
  Tensor total = sum(loss);
  for (std::size_t i = 0; i < next.size(); ++i) total = total + sum(next[i] * r.next_cotangents[i]);
  std::vector<Operand> of(r.state.begin(), r.state.end());
  for (const NamedParameter& p : parameters) {
    const bool again = std::any_of(r.parameters.begin(), r.parameters.end(),
                                   [&](const Parameter* q) { return q->tied_to(*p.parameter); });
    if (again || p.parameter->frozen()) continue;
    r.parameters.push_back(p.parameter);
    of.emplace_back(*p.parameter);
  }
  if (r.parameters.empty()) throw Error("export: there is no parameter to train");
  const std::vector<Tensor> all = grad(total, of);
  r.state_cotangents.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(r.state.size()));
  r.gradients.assign(all.begin() + static_cast<std::ptrdiff_t>(r.state.size()), all.end());
}

}  // namespace rw::detail

namespace rw {

RecordedTraining record_training(const CharModel& model, DType real) {
  const StepInputs character{.shape = {1}, .indices = true};
  RecordedTraining out = record_training(
      character, character, real, [&](Tape& tape) { return model.zero_state(tape, 1); },
      [&](Tensor x, CharModel::State& state) {
        const Tensor logits = model.logits(reshape(x, {1, 1}), state);
        return reshape(logits, {1, logits.size(-1)});
      },
      [](Tensor y, Tensor next) { return cross_entropy(y, next); }, model.named_parameters());
  out.step.characters = model.vocabulary().characters();
  return out;
}

}  // namespace rw
