#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/init.h>
#include <rewind/models/layers/centred.h>
#include <rewind/models/layers/layer_norm.h>
#include <rewind/ops/arithmetic.h>

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
  const detail::Centred rows = detail::centred(x, {-1}, options_.epsilon);
  const Tensor y = rows.d * rows.factor * gain_;
  return shift_ != nullptr ? y + *shift_ : y;
}

LayerNorm LayerNorm::clone() const { return cloned(LayerNorm(width_, options_), *this); }

}  // namespace rw
