#include <algorithm>

#include <rewind/models/text/char_writer.h>

namespace rw {

CharWriter::CharWriter(const CharModel& model, const SamplerOptions& options, std::uint64_t seed, bool eager)
    : model_(model), options_(options), decoder_(model, 1, {.seed = seed, .compiled = !eager}) {
  check(options);
}

void CharWriter::read(std::u32string_view text) {
  decoder_.read(std::span<const std::int32_t>(model_.vocabulary().encode(text, "prompt")));
}

void CharWriter::begin() {
  if (decoder_.symbols() > 0) return;
  const auto start = static_cast<std::int32_t>(std::max<Index>(model_.vocabulary().find(U'\n'), 0));
  decoder_.read(std::span(&start, 1));
}

char32_t CharWriter::next() {
  begin();
  return model_.vocabulary().characters()[static_cast<std::size_t>(decoder_.next(options_)[0])];
}

std::u32string CharWriter::write_best(const BeamOptions& options) {
  check(options);
  begin();
  const Tokens best = decoder_.beam(options)[0][0].tokens;
  decoder_.read(std::span<const std::int32_t>(best));
  std::u32string text;
  for (const std::int32_t token : best) text += model_.vocabulary().characters()[static_cast<std::size_t>(token)];
  return text;
}

}  // namespace rw
