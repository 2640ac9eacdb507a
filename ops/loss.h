#pragma once

#include <optional>

#include <rewind/autograd/tensor.h>

namespace rw {

/// What becomes of the losses of single positions: their mean, their sum, or all of them as they are.
enum class Reduction { mean, sum, none };

struct LossOptions {
  Reduction reduction = Reduction::mean;
  /// Multiplies the loss of each position, and broadcasts to their shape. A mask is weights of 0 and 1. The mean is
  /// then the weighted one, sum(weights * losses) / sum(weights): over what is not masked; nan when all is masked.
  /// Reals where the weight is 0 may be anything, nan too. For padded sequences: `sequence_mask(lengths, steps)`.
  std::optional<Tensor> weights = std::nullopt;
};

// In nats. Shapes of predictions and targets must agree exactly (no broadcasting), else Error is thrown. nan in what is
// not masked gives nan. A dy of 0 gives gradients of 0.

/// logits [..., C] (any real numbers, 1e4 too) and targets [...], i32 classes in [0, C): -log(softmax(logits)[target]),
/// one position for each target. A target outside is an Error, also where the weight is 0. A logit of -inf is a class
/// that is impossible: without gradient, and with a loss of inf as the target.
Tensor cross_entropy(Operand logits, Operand targets, const LossOptions& options = {});
/// The same of log probabilities, as log_softmax gives them.
Tensor nll(Operand log_probs, Operand targets, const LossOptions& options = {});

/// (x - target)^2.
Tensor mse(Operand x, Operand target, const LossOptions& options = {});
/// |x - target|; its slope at 0 is 0.
Tensor l1(Operand x, Operand target, const LossOptions& options = {});
/// (x - target)^2 / 2 up to a distance of `delta`, and delta * (distance - delta / 2) beyond (Huber, 1964). Throws
/// Error unless delta is positive.
Tensor huber(Operand x, Operand target, double delta = 1, const LossOptions& options = {});

/// -target log(sigmoid(x)) - (1 - target) log(sigmoid(-x)), for targets in [0, 1]; stable for any x, also infinite,
/// where it is 0 or inf.
Tensor binary_cross_entropy_with_logits(Operand x, Operand target, const LossOptions& options = {});

}  // namespace rw
