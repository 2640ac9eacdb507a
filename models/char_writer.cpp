#include <algorithm>

#include <rewind/models/char_writer.h>

namespace rw {

namespace {

/// Steps that a prompt is read in at once: enough for large products, few enough for a long prompt to fit in memory.
constexpr std::size_t read_length = 256;

}  // namespace

CharWriter::CharWriter(const CharModel& model, const SamplerOptions& options, std::uint64_t seed)
    : model_(model), options_(options), rng_(seed) {
  check(options);
  tape_.set_recording_gradients(false);
}

void CharWriter::read(std::span<const std::int32_t> numbers) {
  tape_.clear();
  CharModel::State state = model_.zero_state(tape_, 1);
  if (!state_.empty()) state = restore_state(tape_, state_, state);
  const Tensor inputs = tape_.constant(Array(numbers, {static_cast<Index>(numbers.size()), 1}));
  const Array logits = model_.logits(inputs, state).array();
  save_state(state, state_);
  const auto all = logits.span<float>();
  logits_.assign(all.end() - model_.vocabulary().size(), all.end());
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
