#include <memory>

#include <rewind/autograd/compile/compile.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/loss.h>
#include <rewind/tools/cli/shard.h>

namespace rw::cli {

namespace {

/// What reading a chunk returns: plain lists, so that the state goes in and out as saved arrays.
struct Outcome {
  Tensor loss;
  std::vector<Tensor> state, gradients;
};

Outcome outcome(const CharModel& model, Tape& tape, Tensor inputs, Tensor targets, const std::vector<Tensor>& carried,
                double share, bool learn) {
  CharModel::State state = model.zero_state(tape, inputs.size(1));
  std::size_t i = 0;
  for_each_tensor(state, [&](Tensor& t) { t = carried[i++]; });
  Outcome out;
  out.loss = cross_entropy(model.logits(inputs, state), targets) * share;
  for_each_tensor(state, [&](const Tensor& t) { out.state.push_back(t); });
  if (learn) {
    std::vector<Operand> parameters;
    for (const NamedParameter& p : model.parameters()) parameters.emplace_back(*p.parameter);
    out.gradients = grad(out.loss, parameters);
  }
  return out;
}

}  // namespace

Shard::Shard(const CharModel& model, const Options& options)
    : model_(model), options_(options), bptt_(model, options.count) {}

double Shard::read(const TextData& data, Index chunk, Index step) {
  const TextData::Chunk text = data.chunk(chunk, options_.first, options_.count);
  if (!read_) read_ = reader();
  return read_(text, step);
}

Shard::Read Shard::reader() {
  auto f = [this](Tape& tape, Tensor inputs, Tensor targets, const std::vector<Tensor>& carried) {
    return outcome(model_, tape, inputs, targets, carried, options_.share, options_.learn);
  };
  const Shape shape{1, options_.count};
  const Array none(shape, DType::i32);
  using Function = decltype(compile(f, CompileOptions{}, none, none, bptt_.carried()));
  auto function = std::make_shared<Function>(
      f, CompileOptions{.dtype = DType::f32, .seed = options_.seed, .eager = options_.eager});
  return [this, function](const TextData::Chunk& chunk, Index step) {
    function->set_step(static_cast<std::uint64_t>(step));
    const Outcome out = (*function)(chunk.inputs, chunk.targets, bptt_.carried());
    bptt_.set_carried(save_state(out.state));
    gradients_ = out.gradients;
    return out.loss.item();
  };
}

void Shard::add_gradients(Gradients& into) {
  const auto parameters = model_.parameters();
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    const Array more = gradients_[i].array();
    const std::span<const float> from = more.span<float>();
    const std::span<float> to = into.sum(parameters[i].parameter->data()).span<float>();
    for (std::size_t j = 0; j < to.size(); ++j) to[j] += from[j];
  }
}

}  // namespace rw::cli
