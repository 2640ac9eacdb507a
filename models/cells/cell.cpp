#include <rewind/models/cells/cell.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>

namespace rw {

GatedCell::GatedCell(const char* name, const Sizes& sizes, Rng& rng, const CellOptions& options)
    : Module(name),
      in_(detail::checked_size(name, "input", sizes.in)),
      hidden_(detail::checked_size(name, "hidden", sizes.hidden)),
      W_(param("W", options.weights(rng, in_, hidden_, sizes.gates))),
      R_(param("R", options.recurrent(rng, sizes.fed_back, hidden_, sizes.gates))),
      b_(nullptr),
      br_(nullptr) {
  const auto bias = [&](const char* which) {
    return &param(which, options.biases(rng, 1, hidden_, sizes.gates).reshaped({sizes.gates * hidden_}));
  };
  if (options.bias != Bias::none) b_ = bias("b");
  if (options.bias == Bias::two) br_ = bias("br");
}

Tensor GatedCell::multiplied(Tensor x) const { return x.dtype() == DType::i32 ? lookup(W_, x) : matmul(x, W_); }

Tensor GatedCell::recur(Tensor h) const { return biased(matmul(h, R_), br_); }

Tensor GatedCell::biased(Tensor x, Parameter* bias) { return bias != nullptr ? x + *bias : x; }

}  // namespace rw
