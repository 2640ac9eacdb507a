#pragma once

#include <array>
#include <compare>

#include <rewind/core/dtype.h>

namespace rw {

/// The sizes of a convolution of pictures, row-major: x [pictures, groups * in, size], w [groups * out, in, kernel], y
/// [pictures, groups * out, result]. Each pair is rows and columns.
struct ConvolutionSizes {
  using Pair = std::array<Index, 2>;
  Index pictures = 0, groups = 1, in = 0, out = 0;
  Pair size{}, kernel{}, stride{1, 1}, dilation{1, 1}, before{}, after{};

  /// How far a kernel reaches along an axis: (kernel - 1) dilation + 1.
  Index reach(std::size_t axis) const { return (kernel[axis] - 1) * dilation[axis] + 1; }
  /// Places that it has there: 0 when it does not fit into what is padded.
  Index places(std::size_t axis) const {
    const Index room = size[axis] + before[axis] + after[axis] - reach(axis);
    return room < 0 ? 0 : room / stride[axis] + 1;
  }
  /// In all.
  Index places() const { return places(0) * places(1); }
  /// Numbers in a picture's channel.
  Index area() const { return size[0] * size[1]; }
  /// Numbers in one group's kernels for one output.
  Index taps() const { return in * kernel[0] * kernel[1]; }

  auto operator<=>(const ConvolutionSizes&) const = default;
};

// The three sums of products, each of which is linear in its two inputs; the value is set, not added to. f32 goes to
// oneDNN, f64 (and f32 without oneDNN or with `set_portable_bits`) to products of matrices gathered from the pictures.
// 0 times what is not finite is nan or 0, as it comes. The bits depend on sizes and numbers alone, not on the number of
// threads. Unchecked: sizes are those of the arrays.

/// y[p, o, q] = sum over c, k of x[p, c, q stride + k dilation - before] w[o, c, k], with 0 outside x.
void convolve(const ConvolutionSizes& s, const float* x, const float* w, float* y);
void convolve(const ConvolutionSizes& s, const double* x, const double* w, double* y);

/// What of a dy reaches x.
void convolve_data(const ConvolutionSizes& s, const float* dy, const float* w, float* dx);
void convolve_data(const ConvolutionSizes& s, const double* dy, const double* w, double* dx);

/// What of a dy reaches w.
void convolve_weights(const ConvolutionSizes& s, const float* x, const float* dy, float* dw);
void convolve_weights(const ConvolutionSizes& s, const double* x, const double* dy, double* dw);

}  // namespace rw
