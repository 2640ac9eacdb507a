#pragma once

#include <rewind/models/module.h>

namespace rw {

struct LayerNormOptions {
  bool shift = true;
  /// Added to the variance, so that a row of equal numbers becomes one of zeros.
  double epsilon = 1e-5;
};

/// Layer normalisation (Ba, Kiros and Hinton, 2016), of the last axis:
///
///     y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * gain + shift
///
/// Parameters gain [width], of ones, and shift [width], of zeros. Before its mean, a row's first number is subtracted
/// from all. What that subtracts makes no difference, so it is detached, which `gradcheck` shows as a cut.
class LayerNorm : public Module {
 public:
  /// Throws Error for a width below 2 (of one number nothing would be left), and for an epsilon that is not positive.
  explicit LayerNorm(Index width, const LayerNormOptions& options = {});

  /// x [..., width] -> [..., width]. Throws Error when the last axis has another length.
  Tensor operator()(Tensor x) const;

  /// Length of the axis.
  Index width() const { return width_; }
  LayerNorm clone() const;

 private:
  Index width_;
  LayerNormOptions options_;
  Parameter& gain_;
  Parameter* shift_;
};

}  // namespace rw
