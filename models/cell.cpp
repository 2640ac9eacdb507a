#include <rewind/models/cell.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>

namespace rw {

GatedCell::GatedCell(const char* name, Index gates, Index in, Index hidden, Rng& rng, const CellOptions& options)
    : Module(name),
      in_(detail::checked_size(name, "input", in)),
      hidden_(detail::checked_size(name, "hidden", hidden)),
      W_(param("W", options.weights(rng, in, hidden, gates))),
      R_(param("R", options.recurrent(rng, hidden, hidden, gates))),
      b_(options.bias == Bias::none ? nullptr
                                    : &param("b", options.biases(rng, 1, hidden, gates).reshaped({gates * hidden}))),
      br_(options.bias != Bias::two ? nullptr
                                    : &param("br", options.biases(rng, 1, hidden, gates).reshaped({gates * hidden}))) {}

Tensor GatedCell::project(Tensor x) const {
  const Tensor xw = x.dtype() == DType::i32 ? lookup(W_, x) : matmul(x, W_);
  return b_ != nullptr ? xw + *b_ : xw;
}

Tensor GatedCell::recur(Tensor h) const {
  const Tensor hr = matmul(h, R_);
  return br_ != nullptr ? hr + *br_ : hr;
}

}  // namespace rw
