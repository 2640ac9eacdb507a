#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <rewind/core/array.h>

namespace rw {

/// How a text is cut for truncated back-propagation through time.
struct TextCut {
  /// Parallel streams N: the text in N equal parts, read side by side.
  Index batch = 50;
  /// Steps T of one chunk.
  Index sequence = 50;
  /// The part of each stream, at its end, that is held out for validation; in [0, 1).
  double held_out = 0.05;
};

/// A numbered text as chunks of [T, N]: stream n is the n-th of N equal parts of the text, chunk c its steps from
/// c T to (c + 1) T - 1, and a target is the number after its input. A state carried from chunk c to c + 1 therefore
/// belongs to the right text. The first chunks train, the last are held out (at least one, unless `held_out` is 0).
class TextData {
 public:
  /// Throws Error when the text is too short for one chunk of each kind, saying how long it must be, and for a batch or
  /// sequence below 1 or a held-out part outside [0, 1).
  TextData(std::vector<std::int32_t> symbols, const TextCut& cut);

  /// Texts side by side.
  Index batch() const { return cut_.batch; }
  /// Characters of a chunk, at most.
  Index sequence() const { return cut_.sequence; }
  /// Number of chunks to train on.
  Index train_chunks() const { return train_; }
  /// Number of chunks behind them, to measure on.
  Index held_out_chunks() const { return chunks_ - train_; }
  /// Train and held-out chunks together.
  Index chunks() const { return chunks_; }
  /// Characters of one chunk, in all streams.
  Index chunk_size() const { return cut_.batch * cut_.sequence; }

  /// Chunk `c` of streams `first` .. `first + count - 1`: both i32 [T, count]. Chunks from `train_chunks()` on are held
  /// out. Throws Error outside the data.
  struct Chunk {
    Array inputs, targets;
  };
  /// Chunk c, training ones first.
  Chunk chunk(Index c) const { return chunk(c, 0, cut_.batch); }
  /// The same for some of the texts side by side.
  Chunk chunk(Index c, Index first, Index count) const;

  /// The numbers that stream `n` reads in chunks `from` .. `to` - 1, with the last target: (to - from) * T + 1 of them.
  std::span<const std::int32_t> stream(Index n, Index from, Index to) const;

 private:
  std::vector<std::int32_t> symbols_;
  TextCut cut_;
  Index chunks_ = 0, train_ = 0;
};

}  // namespace rw
