#pragma once

#include <rewind/models/init.h>
#include <rewind/models/module.h>
#include <rewind/ops/conv.h>

namespace rw {

struct ConvLayerOptions {
  bool bias = true;
  Init weights = Init::he();
};

/// A convolution over time, beside recurrent layers: sequences are [T, N, features]. Parameters W [out, in / groups,
/// kernel] and b [out].
class Conv1d : public Module {
 public:
  /// Throws Error for sizes below 1 and for groups that do not divide them.
  Conv1d(Index in, Index out, Index kernel, Rng& rng, const Conv1dOptions& options = {},
         const ConvLayerOptions& layer = {});

  /// x [T, N, in] -> [T', N, out], T' as conv1d has it. Throws Error for another shape, and as conv1d does.
  Tensor operator()(Tensor x) const;

  /// Features in.
  Index in() const { return in_; }
  /// Features out.
  Index out() const { return out_; }
  /// Its length.
  Index kernel() const { return kernel_; }
  Conv1d clone() const;

 private:
  Index in_, out_, kernel_;
  Conv1dOptions options_;
  ConvLayerOptions layer_;
  Parameter& W_;
  Parameter* b_;
};

/// A convolution of pictures, [N, channels, H, W]. Parameters W [out, in / groups, rows, cols] and b [out].
class Conv2d : public Module {
 public:
  /// Throws Error for sizes below 1 and for groups that do not divide them.
  Conv2d(Index in, Index out, PerAxis kernel, Rng& rng, const Conv2dOptions& options = {},
         const ConvLayerOptions& layer = {});

  /// x [N, in, H, W] -> [N, out, H', W']. Throws Error for another shape, and as conv2d does.
  Tensor operator()(Tensor x) const;

  /// Channels in.
  Index in() const { return in_; }
  /// Channels out.
  Index out() const { return out_; }
  /// Its size.
  PerAxis kernel() const { return kernel_; }
  Conv2d clone() const;

 private:
  Index in_, out_;
  PerAxis kernel_;
  Conv2dOptions options_;
  ConvLayerOptions layer_;
  Parameter& W_;
  Parameter* b_;
};

}  // namespace rw
