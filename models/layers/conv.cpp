#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/layers/conv.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// Kernels [out, in / groups, window...], each drawn for as many inputs as it sees: column o of a matrix is output o's.
Array kernels(const char* module, Index in, Index out, const Shape& window, Index groups, const Init& init, Rng& rng) {
  detail::checked_size(module, "input", in);
  detail::checked_size(module, "output", out);
  if (groups < 1 || in % groups != 0 || out % groups != 0)
    throw Error(fmt::format("{}: {} groups do not divide {} channels in and {} out", module, groups, in, out));
  const Index seen = in / groups * window.size();
  const Array drawn = init(rng, seen, out);
  Array turned({out, seen}, drawn.dtype());
  visit_real(drawn.dtype(), [&]<class T>() {
    for (Index i = 0; i < seen; ++i)
      for (Index o = 0; o < out; ++o)
        turned.span<T>()[static_cast<std::size_t>(o * seen + i)] =
            drawn.span<T>()[static_cast<std::size_t>(i * out + o)];
  });
  return turned.reshaped(window.inserted(0, in / groups).inserted(0, out));
}

void check_input(const Module& module, const Tensor& x, int rank, int axis, Index in, const char* expected) {
  if (x.shape().rank() != rank || x.size(axis) != in)
    throw x.tape().error(module.name(),
                         fmt::format("takes {} with {} features, not {}", expected, in, x.shape().str()));
}

}  // namespace

Conv1d::Conv1d(Index in, Index out, Index kernel, Rng& rng, const Conv1dOptions& options, const ConvLayerOptions& layer)
    : Module("conv1d"),
      in_(in),
      out_(out),
      kernel_(kernel),
      options_(options),
      layer_(layer),
      W_(param("W", kernels("conv1d", in, out, {detail::checked_size("conv1d", "kernel", kernel)}, options.groups,
                            layer.weights, rng))),
      b_(layer.bias ? &param("b", zeros(out)) : nullptr) {}

Tensor Conv1d::operator()(Tensor x) const {
  check_input(*this, x, 3, 2, in_, "sequences [T, N, features]");
  const Tensor y = permute(conv1d(permute(x, {1, 2, 0}), W_, options_), {2, 0, 1});
  return b_ != nullptr ? y + *b_ : y;
}

Conv1d Conv1d::clone() const {
  Rng unused(0);
  return cloned(Conv1d(in_, out_, kernel_, unused, options_, layer_), *this);
}

Conv2d::Conv2d(Index in, Index out, PerAxis kernel, Rng& rng, const Conv2dOptions& options,
               const ConvLayerOptions& layer)
    : Module("conv2d"),
      in_(in),
      out_(out),
      kernel_(kernel),
      options_(options),
      layer_(layer),
      W_(param("W", kernels("conv2d", in, out,
                            {detail::checked_size("conv2d", "kernel", kernel.rows),
                             detail::checked_size("conv2d", "kernel", kernel.cols)},
                            options.groups, layer.weights, rng))),
      b_(layer.bias ? &param("b", zeros(out)) : nullptr) {}

Tensor Conv2d::operator()(Tensor x) const {
  check_input(*this, x, 4, 1, in_, "pictures [N, features, H, W]");
  const Tensor y = conv2d(x, W_, options_);
  return b_ != nullptr ? y + reshape(x.tape().leaf(*b_), {out_, 1, 1}) : y;
}

Conv2d Conv2d::clone() const {
  Rng unused(0);
  return cloned(Conv2d(in_, out_, kernel_, unused, options_, layer_), *this);
}

}  // namespace rw
