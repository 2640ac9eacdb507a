#pragma once

#include <functional>

#include <rewind/autograd/backward.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/text/char_model.h>
#include <rewind/models/text/data.h>

namespace rw::cli {

/// Some streams of a batch: their carried state, and the gradients of what they read. Shards share a model and are
/// worked on by a thread each, so they leave the parameters alone.
class Shard {
 public:
  struct Options {
    Index first = 0, count = 1;
    /// The part of the whole batch's mean loss that is this shard's.
    double share = 1;
    std::uint64_t seed = 0;
    /// Compute gradients, with dropout; otherwise the loss alone.
    bool learn = true;
    /// Run op by op; otherwise trace once, optimise, and replay.
    bool eager = false;
  };

  Shard(const CharModel& model, const Options& options);

  /// Reads a chunk and returns its loss, times `share`. What is drawn at random depends on seed and `step` alone.
  double read(const TextData& data, Index chunk, Index step);
  /// Begins the streams anew, from a zero state.
  void reset() { bptt_.reset(); }
  const SavedState& carried() const { return bptt_.carried(); }
  void set_carried(SavedState state) { bptt_.set_carried(std::move(state)); }
  /// Adds the gradients of the last chunk to `into`.
  void add_gradients(Gradients& into);

 private:
  using Read = std::function<double(const TextData::Chunk& chunk, Index step)>;
  Read reader();

  const CharModel& model_;
  Options options_;
  TruncatedBptt<CharModel> bptt_;
  Read read_;
  /// Until the next chunk is read: one for each parameter.
  std::vector<Tensor> gradients_;
};

}  // namespace rw::cli
