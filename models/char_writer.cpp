#include <algorithm>
#include <memory>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/char_writer.h>

namespace rw {

namespace {

/// Steps that a prompt is read in at once: enough for large products, few enough for a long prompt to fit in memory.
constexpr std::size_t read_length = 256;

/// What a compiled step returns: a plain list, so that the state goes in and out as saved arrays.
struct Outcome {
  Tensor logits;
  std::vector<Tensor> state;
};

void last_logits(const Tensor& logits, std::vector<float>& out) {
  const Array value = logits.array();
  const auto all = value.span<float>();
  out.assign(all.end() - logits.size(-1), all.end());
}

}  // namespace

CharWriter::CharWriter(const CharModel& model, const SamplerOptions& options, std::uint64_t seed, bool eager)
    : model_(model), options_(options), rng_(seed), eager_(eager) {
  check(options);
  tape_.set_recording_gradients(false);
}

CharWriter::Step CharWriter::compiled_step() const {
  const auto f = [&model = model_](Tape& tape, Tensor input, const std::vector<Tensor>& carried) {
    CharModel::State state = model.zero_state(tape, 1);
    std::size_t i = 0;
    for_each_tensor(state, [&](Tensor& t) { t = carried[i++]; });
    Outcome out;
    out.logits = model.logits(input, state);
    for_each_tensor(state, [&](const Tensor& t) { out.state.push_back(t); });
    return out;
  };
  using Plan = decltype(compile(f, CompileOptions{}, Array(), SavedState()));
  const auto plan = std::make_shared<Plan>(f, CompileOptions{.dtype = DType::f32});
  const auto input = std::make_shared<Array>(Shape{1, 1}, DType::i32);
  return [plan, input](std::int32_t number, SavedState& state, std::vector<float>& logits) {
    input->span<std::int32_t>()[0] = number;
    const Outcome out = (*plan)(*input, state);
    last_logits(out.logits, logits);
    save_state(out.state, state);
  };
}

void CharWriter::read(std::span<const std::int32_t> numbers) {
  if (eager_ || state_.empty() || numbers.size() > 1) return read_eagerly(numbers);
  if (!step_) step_ = compiled_step();
  step_(numbers.front(), state_, logits_);
}

void CharWriter::read_eagerly(std::span<const std::int32_t> numbers) {
  tape_.clear();
  CharModel::State state = model_.zero_state(tape_, 1);
  if (!state_.empty()) state = restore_state(tape_, state_, state);
  const Tensor inputs = tape_.constant(Array(numbers, {static_cast<Index>(numbers.size()), 1}));
  const Tensor logits = model_.logits(inputs, state);
  last_logits(logits, logits_);
  save_state(state, state_);
}

void CharWriter::read(std::u32string_view text) {
  const std::vector<std::int32_t> numbers = model_.vocabulary().encode(text, "prompt");
  for (std::size_t at = 0; at < numbers.size(); at += read_length)
    read(std::span(numbers).subspan(at, std::min(read_length, numbers.size() - at)));
}

char32_t CharWriter::next() {
  const Vocabulary& vocabulary = model_.vocabulary();
  if (logits_.empty()) {
    const auto start = static_cast<std::int32_t>(std::max<Index>(vocabulary.find(U'\n'), 0));
    read({&start, 1});
  }
  const auto number = static_cast<std::int32_t>(choose(logits_, options_, rng_));
  read({&number, 1});
  return vocabulary.characters()[static_cast<std::size_t>(number)];
}

}  // namespace rw
