#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/init.h>
#include <rewind/models/layers/layer_norm.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

Index checked(Index width, double epsilon) {
  if (width < 2)
    throw Error("layer_norm: the width must be at least 2, not " + std::to_string(width) +
                ": a number less its own mean is 0");
  if (!(epsilon > 0 && std::isfinite(epsilon)))
    throw Error(fmt::format("layer_norm: epsilon must be a positive number, not {}", epsilon));
  return width;
}

}  // namespace

LayerNorm::LayerNorm(Index width, const LayerNormOptions& options)
    : Module("layer_norm"),
      width_(checked(width, options.epsilon)),
      options_(options),
      gain_(param("gain", constant({width}, 1))),
      shift_(options.shift ? &param("shift", constant({width}, 0)) : nullptr) {}

Tensor LayerNorm::operator()(Tensor x) const {
  if (x.shape().rank() == 0 || x.size(-1) != width_)
    throw x.tape().error(name(), "rows of " + std::to_string(width_) + " are normalised, not " + x.shape().str());
  // Rows are scaled first, so that the squares of large numbers do not overflow: by powers of two, which changes no
  // bit.
  const Tensor scale = 1 / power_of_two(maximum(sum(abs(x), {-1}, true), 1));
  const double least = x.dtype() == DType::f32 ? 1e-37 : 1e-300;  // a row of equal numbers is 0 at any scale
  // Less the first one before less the mean: a mean of equal numbers is rounded, one of zeros is 0.
  const Tensor z = x * scale, apart = z - slice(z, -1, 0, 1), d = apart - mean(apart, {-1}, true);
  const Tensor epsilon = maximum(options_.epsilon * scale * scale, least);
  // One division a row: one an element, and again in the gradient, takes as long as all else here.
  const Tensor y = d * (1 / sqrt(mean(square(d), {-1}, true) + epsilon)) * gain_;
  return shift_ != nullptr ? y + *shift_ : y;
}

LayerNorm LayerNorm::clone() const { return cloned(LayerNorm(width_, options_), *this); }

}  // namespace rw
