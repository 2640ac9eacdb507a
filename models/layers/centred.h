#pragma once

#include <rewind/autograd/tensor.h>
#include <rewind/ops/axes.h>

namespace rw::detail {

// Internal to the layers that normalise.

/// Numbers along some axes less their mean, whatever their size: they are scaled first, so that the squares of large
/// ones do not overflow, by powers of two, which changes no bit. The axes stay, of length 1.
struct Centred {
  Tensor d;                         // (x - mean) * scale; 0 where numbers are equal
  Tensor variance;                  // of x * scale
  Tensor factor;                    // d * factor has variance 1
  Tensor scale, first, mean_apart;  // the mean of x * scale is first + mean_apart
};
Centred centred(Tensor x, std::initializer_list<int> axes, double epsilon);

}  // namespace rw::detail
