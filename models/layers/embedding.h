#pragma once

#include <rewind/models/init.h>
#include <rewind/models/module.h>

namespace rw {

struct EmbeddingOptions {
  Init weights = Init::normal(1);
};

/// A table of vectors, one for each symbol. Parameter W [symbols, width].
class Embedding : public Module {
 public:
  /// Throws Error for sizes below 1.
  Embedding(Index symbols, Index width, Rng& rng, const EmbeddingOptions& options = {});

  /// indices [...] (i32) -> [..., width]. Throws Error for an index outside [0, symbols), naming it.
  Tensor operator()(Tensor indices) const;

  /// Number of symbols.
  Index symbols() const { return symbols_; }
  /// Width of a vector.
  Index width() const { return width_; }
  Embedding clone() const;

 private:
  Index symbols_, width_;
  EmbeddingOptions options_;
  Parameter& W_;
};

}  // namespace rw
