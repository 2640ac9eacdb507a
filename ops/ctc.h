#pragma once

#include <optional>

#include <rewind/ops/loss.h>

namespace rw {

struct CtcOptions {
  /// Steps that each sequence has, i32 [N]: all of them, where none are given.
  std::optional<Tensor> input_lengths = std::nullopt;
  /// Symbols that each target has, i32 [N].
  std::optional<Tensor> target_lengths = std::nullopt;
  /// The class that stands for no symbol.
  Index blank = 0;
  /// `mean` is over the sequences. (PyTorch's divides each loss by its target's length before: take `none` for that.)
  Reduction reduction = Reduction::mean;
};

/// Connectionist temporal classification (Graves et al., 2006), in nats: -log of the probability that a sequence of
/// steps spells a target, over all alignments. A step says one class; equal ones in a row are one symbol, and blanks go
/// last, so that "aa" needs a blank between. log_probs [T, N, C], as log_softmax gives them; targets [S, N], i32
/// classes other than the blank; what is padding may be any number, and gets no gradient.
///
/// A target that no alignment spells in the steps there are has a loss of inf, and a gradient of 0; so has one through
/// classes of log probability -inf. The gradient of log_probs is minus the posterior of the classes at each step
/// (PyTorch's holds behind log_softmax only, where both agree).
///
/// Throws Error for shapes that do not fit, for targets that have room for more symbols than there are steps, for
/// lengths outside, and for a symbol that is the blank or no class.
Tensor ctc_loss(Operand log_probs, Operand targets, const CtcOptions& options = {});

}  // namespace rw
