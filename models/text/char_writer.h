#pragma once

#include <rewind/models/text/char_model.h>
#include <rewind/models/text/sampler.h>
#include <rewind/models/text/token_decoder.h>

namespace rw {

/// Writes with a character model, one character after the other: each is chosen from the logits that the text so far
/// gives, and then read. The same model, options, seed and prompt write the same text. What is written is read by a
/// plan, which is compiled with the first character, or op by op when `eager`.
class CharWriter {
 public:
  /// The model must outlive the writer; it should be in `eval()` mode. Throws Error for options that make no sense.
  CharWriter(const CharModel& model, const SamplerOptions& options, std::uint64_t seed, bool eager = false);

  /// Reads a text, as if the writer had written it. Throws Error that lists the characters which the model never saw;
  /// the writer is then as it was.
  void read(std::u32string_view text);
  /// Writes the next character. If nothing was read so far, reads a line break first (or the model's first character).
  char32_t next();
  /// Writes the best text of this length that beam search finds, or up to its stop character, in place of drawing one
  /// by one. Throws Error for options that make no sense.
  std::u32string write_best(const BeamOptions& options);

 private:
  void begin();

  const CharModel& model_;
  SamplerOptions options_;
  TokenDecoder<CharModel> decoder_;
};

}  // namespace rw
