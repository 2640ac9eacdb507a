#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <rewind/models/text/token_decoder.h>

namespace rw {

// What a network trained by `ctc_loss` says: from the log probabilities of classes at each step to symbols. Equal
// classes in a row are one symbol, and blanks are none.

/// The likeliest class at each step, read as symbols (best path; Graves et al., 2006), for each sequence of log_probs
/// [T, N, C] (or logits: only which is the largest counts). `lengths`, i32 [N], are the steps of each. Throws Error for
/// another rank, for lengths that do not fit, for nan, and for a blank that is no class.
std::vector<Tokens> ctc_best_path(const Array& log_probs, const std::optional<Array>& lengths = std::nullopt,
                                  Index blank = 0);

struct CtcBeamOptions {
  /// Prefixes that are followed at a time.
  Index width = 16;
  Index blank = 0;
  /// log p(next | prefix), in nats, of a language model: of the model of `char_lm`, say, or counts of bigrams. It is
  /// asked once for each prefix that is tried.
  std::function<double(std::span<const std::int32_t> prefix, std::int32_t next)> language_model = nullptr;
  /// How much the language model counts.
  double weight = 1;
  /// Added for each symbol, against a language model's taste for short texts.
  double insertion = 0;
};

struct CtcHypothesis {
  Tokens tokens;
  /// Of the sound alone: over all alignments that were followed.
  double log_probability = 0;
  /// With language model and insertions.
  double score = 0;
};

/// Prefix beam search (Hannun et al., 2014) over one sequence of log_probs [T, C]: prefixes that different alignments
/// spell are one, and their probabilities add up. Gives up to `width` texts, best score first; of equal scores the one
/// whose symbols come first. With a width that nothing is dropped at, log_probability is -ctc_loss. Throws Error for
/// another rank, for nan (a language model's too), for a width below 1, and for a blank that is no class.
std::vector<CtcHypothesis> ctc_beam(const Array& log_probs, const CtcBeamOptions& options = {});

}  // namespace rw
