#pragma once

#include <rewind/models/module.h>
#include <rewind/ops/axes.h>

namespace rw {

namespace detail {
struct Centred;
}

struct BatchNormOptions {
  /// The axis that has the features: 1 of pictures [N, C, H, W], -1 of sequences [T, N, C].
  Axis axis = 1;
  /// How much a new batch counts for the running statistics.
  double momentum = 0.1;
  /// Added to the variance.
  double epsilon = 1e-5;
};

/// Batch normalisation (Ioffe and Szegedy, 2015), of each feature:
///
///     y = (x - mean) / sqrt(variance + epsilon) * gain + shift
///
/// While training, mean and variance are those of the batch, over all other axes; they have gradients. In evaluation
/// they are the running ones, which are buffers: saved, cloned, and not trained. Each eager call while training moves
/// these towards the batch's (by `momentum`; the variance divided by n - 1), as PyTorch does: twice where a checkpoint
/// runs it again, and in the threads' order where shards are on threads, each process by its own shards. A plan changes
/// nothing but gradients (calls that check one are eager too). So after training by plans or shards, show the model
/// some batches eagerly, in training mode:
///
///     for (const Array& x : batches) { Tape tape; const NoGrad off(tape); model(tape.constant(x)); }
///     model.eval();
///
/// Numbers of any size are normalised; a running variance beyond the largest number of its type (of f32, those of
/// numbers from 1e19 on) is infinite, and stays so: in evaluation such a feature is its shift.
///
/// Parameters gain [width], of ones, and shift [width], of zeros; buffers mean and variance. As in LayerNorm, what is
/// subtracted before the mean is detached.
class BatchNorm : public Module {
 public:
  /// Throws Error for a width below 1, a momentum outside [0, 1], and an epsilon that is not positive.
  explicit BatchNorm(Index width, const BatchNormOptions& options = {});

  /// Of x's own shape. Throws Error when the axis has another length, and, while training, for fewer than two numbers
  /// of a feature.
  Tensor operator()(Tensor x) const;

  /// Length of the axis.
  Index width() const { return width_; }
  BatchNorm clone() const;

 private:
  void observe(const detail::Centred& features, Index count) const;

  Index width_;
  BatchNormOptions options_;
  Parameter &gain_, &shift_, &mean_, &variance_;
};

}  // namespace rw
