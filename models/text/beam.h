#pragma once

// Beam search's choices, apart from the model. Internal to models/: use TokenDecoder::beam.

#include <span>
#include <vector>

#include <rewind/models/text/token_decoder.h>

namespace rw::detail {

/// The hypotheses of one stream: those that go on, and those that are complete.
class BeamSearch {
 public:
  explicit BeamSearch(const BeamOptions& options) : options_(options), open_(1) {}

  /// Hypotheses that go on, best first.
  const std::vector<Hypothesis>& open() const { return open_; }
  /// Extends them, each by the symbols that its row of logits [open().size(), V] makes likely. Gives for each that now
  /// goes on the row it came from.
  std::vector<Index> extend(std::span<const float> logits);
  /// All, best score first; those that still go on end here.
  std::vector<Hypothesis> finish();

 private:
  struct Candidate {
    double log_probability = 0;
    std::size_t from = 0;
    std::int32_t token = 0;
  };
  std::vector<Candidate> candidates(std::span<const float> logits) const;
  void complete(Hypothesis h, bool stopped);

  BeamOptions options_;
  std::vector<Hypothesis> open_, complete_;
};

/// Rows of the first axis of every array, in this order.
SavedState gather_rows(const SavedState& state, std::span<const Index> rows);

}  // namespace rw::detail
