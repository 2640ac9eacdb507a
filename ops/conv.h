#pragma once

#include <rewind/autograd/tensor.h>

namespace rw {

/// A number for rows and one for columns: `{2, 1}`, or one for both.
struct PerAxis {
  Index rows, cols;
  /// The same for both.
  constexpr PerAxis(Index both) : rows(both), cols(both) {}
  /// One for each.
  constexpr PerAxis(Index r, Index c) : rows(r), cols(c) {}
};

struct Conv1dOptions {
  Index stride = 1;
  /// Zeros before and after.
  Index padding = 0;
  Index dilation = 1;
  /// Channels in as many groups, each of which sees its own alone.
  Index groups = 1;
  /// All zeros before, as many as leave the length (over the stride): step t sees nothing that comes after it.
  bool causal = false;
};

struct Conv2dOptions {
  PerAxis stride = 1, padding = 0, dilation = 1;
  Index groups = 1;
};

// Convolutions as networks have them (the kernel is not flipped), as PyTorch's. Gradients are convolutions again, so
// all orders follow. 0 times what is not finite is nan or 0, as it comes: choose with `where` before one. Throws Error,
// naming both shapes, for those that do not fit, for a kernel that is larger than the padded input, for strides and
// dilations below 1, negative padding, and groups that do not divide both numbers of channels.

/// y[n, o, t] = sum over c, k of x[n, c, t stride + k dilation - padding] w[o, c, k]: x [N, C, T] and w [O, C / groups,
/// K] give [N, O, T'], T' = (T + 2 padding - dilation (K - 1) - 1) / stride + 1, rounded down.
Tensor conv1d(Operand x, Operand w, const Conv1dOptions& options = {});

/// The same of pictures: x [N, C, H, W] and w [O, C / groups, K, L] give [N, O, H', W'].
Tensor conv2d(Operand x, Operand w, const Conv2dOptions& options = {});

struct PoolOptions {
  /// From a window to the next: 0 is as long as a window.
  PerAxis stride = 0;
  /// Around the input, no more than half a window: nothing that a maximum sees; zeros in a mean, which count.
  PerAxis padding = 0;
};

// Pooling over windows of the last axis (1d) or the last two (2d), whatever is before them. Throws Error for a window
// that is larger than the padded input or below 1, an axis without elements, a negative stride, and padding of more
// than half a window.

/// The largest of each window: nan when there is one. Equal ones share the gradient, padding too where all is -inf.
Tensor max_pool1d(Operand x, Index window, const PoolOptions& options = {});
Tensor max_pool2d(Operand x, PerAxis window, const PoolOptions& options = {});
/// The mean of each window.
Tensor avg_pool1d(Operand x, Index window, const PoolOptions& options = {});
Tensor avg_pool2d(Operand x, PerAxis window, const PoolOptions& options = {});

}  // namespace rw
