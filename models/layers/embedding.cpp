#include <rewind/models/layers/embedding.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/lookup.h>

namespace rw {

Embedding::Embedding(Index symbols, Index width, Rng& rng, const EmbeddingOptions& options)
    : Module("embedding"),
      symbols_(detail::checked_size("embedding", "symbol table", symbols)),
      width_(detail::checked_size("embedding", "vector", width)),
      options_(options),
      W_(param("W", options.weights(rng, symbols, width))) {}

Tensor Embedding::operator()(Tensor indices) const { return lookup(W_, indices); }

Embedding Embedding::clone() const {
  Rng unused(0);
  return cloned(Embedding(symbols_, width_, unused, options_), *this);
}

}  // namespace rw
