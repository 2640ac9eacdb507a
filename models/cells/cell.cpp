#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/cell.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace detail {

Index checked_heads(const char* cell, Index heads, Index hidden, Index fed_back) {
  if (heads < 1) throw Error(fmt::format("{}: {} heads: there must be 1 or more", cell, heads));
  if (hidden % heads != 0)
    throw Error(fmt::format("{}: {} heads do not divide a hidden size of {}", cell, heads, hidden));
  if (fed_back % heads != 0)
    throw Error(fmt::format("{}: {} heads do not divide what is fed back, {} wide", cell, heads, fed_back));
  return heads;
}

Tensor times_blocks(Tensor h, Tensor R, Index hidden, Index heads) {
  if (heads == 1) return matmul(h, R);
  const Index N = h.size(0), rows = R.size(0), gates = R.size(1) / hidden, width = hidden / heads;
  const Tensor parts = permute(reshape(h, {N, heads, rows}), {1, 0, 2});
  const Tensor blocks = permute(reshape(R, {rows, gates, heads, width}), {2, 0, 1, 3});
  const Tensor products = matmul(parts, reshape(blocks, {heads, rows, gates * width}));
  return reshape(permute(reshape(products, {heads, N, gates, width}), {1, 2, 0, 3}), {N, gates * hidden});
}

}  // namespace detail

GatedCell::GatedCell(const char* name, const Sizes& sizes, Rng& rng, const CellOptions& shared)
    : Module(name),
      in_(detail::checked_size(name, "input", sizes.in)),
      hidden_(detail::checked_size(name, "hidden", sizes.hidden)),
      heads_(detail::checked_heads(name, shared.heads, hidden_, sizes.fed_back)),
      shared_(shared),
      W_(param("W", shared.weights(rng, in_, hidden_, sizes.gates))),
      R_(param("R", detail::start_of_recurrent(shared)(rng, sizes.fed_back / heads_, hidden_ / heads_,
                                                       sizes.gates * heads_))),
      b_(nullptr),
      br_(nullptr) {
  const auto bias = [&](const char* which) {
    return &param(which, shared.biases(rng, 1, hidden_, sizes.gates).reshaped({sizes.gates * hidden_}));
  };
  if (shared.bias != Bias::none) b_ = bias("b");
  if (shared.bias == Bias::two) br_ = bias("br");
}

Tensor GatedCell::multiplied(Tensor x) const { return x.dtype() == DType::i32 ? lookup(W_, x) : matmul(x, W_); }

Tensor GatedCell::recur(Tensor h) const { return biased(times_recurrent(h, h.tape().leaf(R_)), br_); }

Tensor GatedCell::biased(Tensor x, Parameter* bias) { return bias != nullptr ? x + *bias : x; }

}  // namespace rw
