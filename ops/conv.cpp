#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/convolution.h>
#include <rewind/ops/axes.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/conv.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

using Pair = ConvolutionSizes::Pair;
constexpr Index most = std::numeric_limits<std::int32_t>::max();  // of a stride, a dilation or padding

/// How a kernel goes over pictures.
struct Way {
  static constexpr std::array<std::string_view, 5> attribute_names{"stride", "dilation", "before", "after", "groups"};
  Pair stride{1, 1}, dilation{1, 1}, before{}, after{};
  Index groups = 1;
};

/// Of pictures x [N, C, H, W] and kernels w [O, C / groups, K, L].
ConvolutionSizes sizes_of(const Way& way, const Shape& x, const Shape& w) {
  return {.pictures = x[0],
          .groups = way.groups,
          .in = w[1],
          .out = w[0] / way.groups,
          .size = {x[2], x[3]},
          .kernel = {w[2], w[3]},
          .stride = way.stride,
          .dilation = way.dilation,
          .before = way.before,
          .after = way.after};
}

Shape result_of(const Way& way, const Shape& x, const Shape& w) {
  const ConvolutionSizes s = sizes_of(way, x, w);
  return {x[0], w[0], s.places(0), s.places(1)};
}

bool are_from(Index least, const Pair& p) { return std::min(p[0], p[1]) >= least && std::max(p[0], p[1]) <= most; }

/// What the functions below say better; a graph may also be read from a text.
void check_way(const Way& way, const Shape& x, const Shape& w) {
  const bool sound = x.rank() == 4 && w.rank() == 4 && way.groups >= 1 && way.groups <= most &&
                     x[1] == w[1] * way.groups && w[0] % way.groups == 0 && are_from(1, {w[2], w[3]}) &&
                     are_from(1, way.stride) && are_from(1, way.dilation) && are_from(0, way.before) &&
                     are_from(0, way.after);
  if (!sound) throw Error(fmt::format("pictures {} and kernels {} do not fit", x.str(), w.str()));
}

// The engine's sums of products are three; each is linear in both inputs, and the gradients of one are the others.
struct ConvData;
struct ConvWeights;
Tensor conv_data(const Way& way, const Shape& x, Tensor dy, Tensor w);
Tensor conv_weights(const Way& way, const Shape& w, Tensor x, Tensor dy);

/// Axis 0 of [E, A, B, ...] beside axis 1: [A, E B, ...] with `beside`, [E A, B, ...] without.
Tensor joined(Tensor x, bool beside) {
  if (!beside) return reshape(x, x.shape().without(0).with(0, x.size(0) * x.size(1)));
  const Tensor y = swap_axes(x, 0, 1);  // [A, E, B, ...]
  return reshape(y, y.shape().without(1).with(1, y.size(1) * y.size(2)));
}
/// The way back, for E = size.
Tensor parted(Tensor x, Index size, bool beside) {
  const int axis = beside ? 1 : 0;
  const Tensor y = reshape(x, x.shape().with(axis, x.size(axis) / size).inserted(axis, size));
  return beside ? swap_axes(y, 0, 1) : y;
}

/// Many convolutions at once: of one set of kernels, with more pictures; else with more groups. A number that stands
/// for pictures (`is_picture`: x or y) gets more channels then, kernels get more outputs.
template <bool first_is_picture, bool second_is_picture, bool gives_picture, class Op>
Tensor many_convolutions(Vmap& v, const Op& op) {
  if constexpr (!second_is_picture)
    if (!v.batched(1))
      return parted(record(op.more_pictures(v.size()), {joined(v.x(0), false), v.x(1)}), v.size(), false);
  return parted(
      record(op.more_groups(v.size()), {joined(v.all(0), first_is_picture), joined(v.all(1), second_is_picture)}),
      v.size(), gives_picture);
}

/// (x, w) to y.
struct Conv {
  static constexpr std::string_view name = "conv";
  static constexpr int arity = 2;
  Way way;
  Shape infer(std::span<const Shape> in) const {
    check_way(way, in[0], in[1]);
    return result_of(way, in[0], in[1]);
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      convolve(sizes_of(way, x[0].shape, x[1].shape), x[0].as<T>(), x[1].as<T>(), y.as<T>());
    });
  }
  void vjp(Vjp& g) const {
    if (g.needs(0)) g.add(0, conv_data(way, g.x(0).shape(), g.dy(), g.x(1)));
    if (g.needs(1)) g.add(1, conv_weights(way, g.x(1).shape(), g.x(0), g.dy()));
  }
  Conv more_pictures(Index) const { return *this; }
  Conv more_groups(Index times) const {
    Conv more = *this;
    more.way.groups *= times;
    return more;
  }
  Tensor vmap(Vmap& v) const { return many_convolutions<true, false, true>(v, *this); }
  std::string describe() const { return fmt::format("{} groups", way.groups); }
};

/// (dy, w) to dx, of the shape x.
struct ConvData {
  static constexpr std::string_view name = "conv_data";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 2> attribute_names{"way", "x"};
  Way way;
  Shape x;
  Shape infer(std::span<const Shape> in) const {
    check_way(way, x, in[1]);
    if (in[0] != result_of(way, x, in[1]))
      throw Error(
          fmt::format("a gradient {} does not fit pictures {} and kernels {}", in[0].str(), x.str(), in[1].str()));
    return x;
  }
  void eval(std::span<const ConstView> in, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      convolve_data(sizes_of(way, x, in[1].shape), in[0].as<T>(), in[1].as<T>(), y.as<T>());
    });
  }
  void vjp(Vjp& g) const {
    if (g.needs(0)) g.add(0, record(Conv{way}, {g.dy(), g.x(1)}));
    if (g.needs(1)) g.add(1, conv_weights(way, g.x(1).shape(), g.dy(), g.x(0)));
  }
  ConvData more_pictures(Index times) const { return {way, x.with(0, x[0] * times)}; }
  ConvData more_groups(Index times) const {
    ConvData more{way, x.with(1, x[1] * times)};
    more.way.groups *= times;
    return more;
  }
  Tensor vmap(Vmap& v) const { return many_convolutions<true, false, true>(v, *this); }
};

/// (x, dy) to dw, of the shape w.
struct ConvWeights {
  static constexpr std::string_view name = "conv_weights";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 2> attribute_names{"way", "w"};
  Way way;
  Shape w;
  Shape infer(std::span<const Shape> in) const {
    check_way(way, in[0], w);
    if (in[1] != result_of(way, in[0], w))
      throw Error(
          fmt::format("a gradient {} does not fit pictures {} and kernels {}", in[1].str(), in[0].str(), w.str()));
    return w;
  }
  void eval(std::span<const ConstView> in, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      convolve_weights(sizes_of(way, in[0].shape, w), in[0].as<T>(), in[1].as<T>(), y.as<T>());
    });
  }
  void vjp(Vjp& g) const {
    if (g.needs(0)) g.add(0, conv_data(way, g.x(0).shape(), g.x(1), g.dy()));
    if (g.needs(1)) g.add(1, record(Conv{way}, {g.x(0), g.dy()}));
  }
  ConvWeights more_groups(Index times) const {
    ConvWeights more{way, w.with(0, w[0] * times)};
    more.way.groups *= times;
    return more;
  }
  Tensor vmap(Vmap& v) const { return many_convolutions<true, true, false>(v, *this); }
};

Tensor conv_data(const Way& way, const Shape& x, Tensor dy, Tensor w) { return record(ConvData{way, x}, {dy, w}); }
Tensor conv_weights(const Way& way, const Shape& w, Tensor x, Tensor dy) {
  return record(ConvWeights{way, w}, {x, dy});
}

/// Throws Error unless pictures [N, C, axes...] and kernels [O, C / groups, axes...] fit.
void check_convolution(const std::string& op, const Tensor& x, const Tensor& w, const Way& way, int rank) {
  const Shape s = x.shape(), k = w.shape();
  const auto refuse = [&](const std::string& why) {
    throw x.tape().error(op, fmt::format("{}: input {}, kernel {}", why, s.str(), k.str()));
  };
  if (s.rank() != rank || k.rank() != rank)
    refuse(rank == 3 ? "needs [N, C, T] and [O, C / groups, K]" : "needs [N, C, H, W] and [O, C / groups, K, L]");
  if (way.groups < 1 || s[1] % way.groups != 0 || k[0] % way.groups != 0)
    refuse(fmt::format("{} groups do not divide {} channels in and {} out", way.groups, s[1], k[0]));
  if (k[1] * way.groups != s[1])
    refuse(fmt::format("the kernel is of {} channels, and a group of the input has {}", k[1], s[1] / way.groups));
  for (int i = 2; i < rank; ++i) {
    const auto axis = static_cast<std::size_t>(i - rank + 2);
    const Index stride = way.stride[axis], dilation = way.dilation[axis], pad = way.before[axis];
    if (std::min(stride, dilation) < 1 || std::max(stride, dilation) > most)
      refuse(fmt::format("stride {} and dilation {} must be 1 or more, and below 2^31", stride, dilation));
    if (pad < 0 || pad > most) refuse(fmt::format("padding {} must be 0 or more, and below 2^31", pad));
    const Index room = s[i] + pad + way.after[axis], reach = (k[i] - 1) * dilation + 1;
    if (k[i] < 1 || reach > room)
      refuse(fmt::format("a kernel that reaches over {} does not fit into {}, padding included", reach, room));
  }
}

/// Windows of pictures [..., H, W], side by side: [..., H', W', K L], with 0 outside.
struct Windows {
  static constexpr std::string_view name = "windows";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 3> attribute_names{"window", "stride", "padding"};
  static constexpr bool leading_axes = true;
  static constexpr bool moves_elements = true;
  Pair window{1, 1}, stride{1, 1}, padding{};
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;

  /// Of one picture.
  ConvolutionSizes sizes(const Shape& x) const {
    return {.pictures = 1,
            .in = 1,
            .out = 1,
            .size = {x[x.rank() - 2], x[x.rank() - 1]},
            .kernel = window,
            .stride = stride,
            .before = padding,
            .after = padding};
  }
  /// Calls f(element of the picture, element of its windows) for each that is within.
  template <class F>
  void for_each(const ConvolutionSizes& s, F&& f) const {
    Index to = 0;
    for (Index i = 0; i < s.places(0); ++i)
      for (Index j = 0; j < s.places(1); ++j)
        for (Index k = 0; k < window[0]; ++k)
          for (Index l = 0; l < window[1]; ++l, ++to) {
            const Index r = i * stride[0] + k - padding[0], c = j * stride[1] + l - padding[1];
            if (r >= 0 && r < s.size[0] && c >= 0 && c < s.size[1]) f(r * s.size[1] + c, to);
          }
  }
};

/// Windows transposed: what each element of pictures [..., H, W] has in windows, added up.
struct FromWindows {
  static constexpr std::string_view name = "from_windows";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 2> attribute_names{"windows", "size"};
  static constexpr bool leading_axes = true;
  Windows windows;
  Pair size{};
  Shape infer(std::span<const Shape> in) const {
    const Shape& s = in[0];
    if (s.rank() < 3) throw Error(fmt::format("needs windows [..., H', W', K L], not {}", s.str()));
    const Shape x = s.without(s.rank() - 1).with(s.rank() - 3, size[0]).with(s.rank() - 2, size[1]);
    if (windows.infer({&x, 1}) != s) throw Error(fmt::format("windows {} are not those of {}", s.str(), x.str()));
    return x;
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      std::fill_n(y.as<T>(), y.size(), T(0));
      const ConvolutionSizes s = windows.sizes(y.shape);
      const Index each = s.places() * s.taps();
      for (Index p = 0; each > 0 && p < x[0].size() / each; ++p) {
        const T* from = x[0].as<T>() + p * each;
        T* to = y.as<T>() + p * s.area();
        windows.for_each(s, [&](Index element, Index place) { to[element] += from[place]; });
      }
    });
  }
  void vjp(Vjp& g) const { g.add(0, record(windows, {g.dy()})); }
};

Shape Windows::infer(std::span<const Shape> in) const {
  const Shape& x = in[0];
  if (x.rank() < 2 || !are_from(1, stride) || !are_from(1, window) || !are_from(0, padding))
    throw Error(
        fmt::format("needs pictures [..., H, W], windows ({}, {}) and strides ({}, {}) of 1 or more, and padding "
                    "({}, {}) of 0 or more, all below 2^31, not {}",
                    window[0], window[1], stride[0], stride[1], padding[0], padding[1], x.str()));
  const ConvolutionSizes s = sizes(x);
  return x.with(x.rank() - 2, s.places(0)).with(x.rank() - 1, s.places(1)).inserted(x.rank(), s.taps());
}
void Windows::eval(std::span<const ConstView> x, View y) const {
  visit_real(y.dtype, [&]<class T>() {
    std::fill_n(y.as<T>(), y.size(), T(0));
    const ConvolutionSizes s = sizes(x[0].shape);
    const Index each = s.places() * s.taps();
    for (Index p = 0; each > 0 && p < y.size() / each; ++p) {
      const T* from = x[0].as<T>() + p * s.area();
      T* to = y.as<T>() + p * each;
      for_each(s, [&](Index element, Index place) { to[place] = from[element]; });
    }
  });
}
void Windows::vjp(Vjp& g) const {
  const ConvolutionSizes s = sizes(g.x(0).shape());
  g.add(0, record(FromWindows{*this, s.size}, {g.dy()}));
}

Windows checked_windows(const char* op, const Tensor& x, PerAxis window, const PoolOptions& options, int axes) {
  const Shape shape = x.shape();
  const auto refuse = [&](const std::string& why) {
    throw x.tape().error(op, fmt::format("{}: input {}, window ({}, {})", why, shape.str(), window.rows, window.cols));
  };
  if (shape.rank() < axes) refuse(fmt::format("needs {} or more axes", axes));
  Windows w{{window.rows, window.cols},
            {options.stride.rows, options.stride.cols},
            {options.padding.rows, options.padding.cols}};
  for (int i = 2 - axes; i < 2; ++i) {
    const auto axis = static_cast<std::size_t>(i);
    if (w.window[axis] < 1) refuse("a window must be 1 or more");
    if (w.stride[axis] < 0) refuse(fmt::format("stride {} is negative", w.stride[axis]));
    if (w.stride[axis] == 0) w.stride[axis] = w.window[axis];
    if (w.padding[axis] < 0 || w.padding[axis] > w.window[axis] / 2)
      refuse(fmt::format("padding {} must be from 0 to half the window", w.padding[axis]));
    if (w.window[axis] > shape[shape.rank() - 2 + i] + 2 * w.padding[axis])
      refuse("the window is larger than the input, padding included");
    if (shape[shape.rank() - 2 + i] < 1) refuse("there is nothing to pool");
  }
  return w;
}

/// reduce(windows [pictures, H', W', K L], 1 where these are within the picture) of the last `axes` axes of x.
template <class Reduce>
Tensor pooled(const char* op, Operand operand, PerAxis window, const PoolOptions& options, int axes, Reduce&& reduce) {
  const Tensor x = checked_tensor(op, operand);
  PoolOptions of = options;
  if (axes == 1) window.rows = of.stride.rows = 1, of.padding.rows = 0;
  const Windows w = checked_windows(op, x, window, of, axes);
  const Shape shape = x.shape();
  const Index rows = axes == 1 ? 1 : shape[shape.rank() - 2], cols = shape[shape.rank() - 1];
  Shape result = shape.with(shape.rank() - 1, w.sizes({rows, cols}).places(1));
  if (axes == 2) result = result.with(shape.rank() - 2, w.sizes({rows, cols}).places(0));
  Index pictures = 1;
  for (int i = 0; i < shape.rank() - axes; ++i) pictures *= shape[i];
  const Tensor windows = record(w, {reshape(x, Shape{pictures, rows, cols})});
  Tensor within;
  if (w.padding != Pair{}) within = record(w, {x.tape().constant(1, Shape{1, rows, cols})});
  return reshape(reduce(windows, within), result);
}

Tensor largest(Tensor windows, Tensor within) {
  return max(within.valid() ? where(within, windows, -std::numeric_limits<double>::infinity()) : windows, {-1});
}
Tensor average(Tensor windows, Tensor) { return mean(windows, {-1}); }

}  // namespace

Tensor conv1d(Operand input, Operand kernel, const Conv1dOptions& options) {
  Tape& tape = checked_tensor("conv1d", input.tensor() != nullptr ? input : kernel).tape();
  const Tensor x = tape.resolve(input), w = tape.resolve(kernel);
  Way way{.stride = {1, options.stride}, .dilation = {1, options.dilation}, .groups = options.groups};
  way.before[1] = way.after[1] = options.padding;
  if (options.causal) {
    if (options.padding != 0)
      throw tape.error("conv1d", fmt::format("causal padding is said by the kernel: padding {} is too much: input {}, "
                                             "kernel {}",
                                             options.padding, x.shape().str(), w.shape().str()));
    way.before[1] = (std::max<Index>(w.shape().cols(), 1) - 1) * std::min(options.dilation, most);
  }
  check_convolution("conv1d", x, w, way, 3);
  const Tensor y = record(Conv{way}, {reshape(x, x.shape().inserted(2, 1)), reshape(w, w.shape().inserted(2, 1))});
  return reshape(y, y.shape().without(2));
}

Tensor conv2d(Operand input, Operand kernel, const Conv2dOptions& options) {
  Tape& tape = checked_tensor("conv2d", input.tensor() != nullptr ? input : kernel).tape();
  const Tensor x = tape.resolve(input), w = tape.resolve(kernel);
  const auto pair = [](PerAxis p) { return Pair{p.rows, p.cols}; };
  const Way way{pair(options.stride), pair(options.dilation), pair(options.padding), pair(options.padding),
                options.groups};
  check_convolution("conv2d", x, w, way, 4);
  return record(Conv{way}, {x, w});
}

Tensor max_pool1d(Operand x, Index window, const PoolOptions& options) {
  return pooled("max_pool1d", x, window, options, 1, largest);
}
Tensor max_pool2d(Operand x, PerAxis window, const PoolOptions& options) {
  return pooled("max_pool2d", x, window, options, 2, largest);
}
Tensor avg_pool1d(Operand x, Index window, const PoolOptions& options) {
  return pooled("avg_pool1d", x, window, options, 1, average);
}
Tensor avg_pool2d(Operand x, PerAxis window, const PoolOptions& options) {
  return pooled("avg_pool2d", x, window, options, 2, average);
}

}  // namespace rw
