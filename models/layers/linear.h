#pragma once

#include <rewind/models/init.h>
#include <rewind/models/module.h>

namespace rw {

struct LinearOptions {
  bool bias = true;
  Init weights = Init::glorot();
  Init biases = Init::constant(0);
};

/// y = x W + b, on the last axis. Parameters W [in, out] and b [out].
class Linear : public Module {
 public:
  /// Throws Error for sizes below 1.
  Linear(Index in, Index out, Rng& rng, const LinearOptions& options = {});

  /// x [..., in] -> [..., out]. Throws Error when the last axis has another length.
  Tensor operator()(Tensor x) const;

  /// Width of the input.
  Index in() const { return in_; }
  /// Width of the output.
  Index out() const { return out_; }
  Linear clone() const;

 private:
  Index in_, out_;
  LinearOptions options_;
  Parameter& W_;
  Parameter* b_;
};

}  // namespace rw
