#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/conv.h>
#include <rewind/ops/linear_algebra.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/scan.h>
#include <rewind/ops/sort.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/operators.h>

namespace rw::detail::load {
namespace {

using Integers = std::vector<std::int64_t>;

constexpr double most_padded = 1 << 24;

Values cumulated(const Call& c) {
  const Tensor x = c.real(0);
  const int axis = c.axis(c.number(1), x.shape().rank());
  if (c.node().get<std::int64_t>("exclusive", 0) != 0) throw c.error("exclusive sums have no form here");
  if (c.node().get<std::int64_t>("reverse", 0) == 0) return {cumsum(x, axis)};
  return {flip(cumsum(flip(x, axis), axis), axis)};
}

/// The values alone: where they stood has no form, and who reads it finds nothing.
Values topmost(const Call& c) {
  const Tensor x = c.real(0);
  const int axis = c.axis(c.node().get<std::int64_t>("axis", -1), x.shape().rank());
  const std::int64_t k = c.number(1);
  if (k < 0 || k > x.size(axis)) throw c.error(fmt::format("{} of axis {} of {}", k, axis, x.shape().str()));
  if (c.node().get<std::int64_t>("largest", 1) != 0) return {topk(x, k, axis)};
  return {slice(sort(x, axis), axis, 0, k)};
}

Values largest_one(const Call& c) {
  const Tensor x = c.real(0);
  const int rank = x.shape().rank();
  if (c.axis(c.node().get<std::int64_t>("axis", c.opset() < 13 ? 1 : -1), rank) != rank - 1)
    throw c.error("along another axis than the last it has no form here");
  return {hardmax(x)};
}

Values lower_triangle(const Call& c) {
  if (c.node().get<std::int64_t>("upper", 1) != 0 || (c.has(1) && c.number(1) != 0))
    throw c.error("only the lower triangle with the diagonal has a form here");
  return {tril(c.real(0))};
}

// ---- Convolutions

/// An attribute of as many numbers from `least` on, all below 2^31; `usual` ones when it is left out.
Integers numbers(const Call& c, const char* name, std::size_t count, std::int64_t least, std::int64_t usual) {
  const auto* given = c.node().find<Integers>(name);
  if (given == nullptr) return Integers(count, usual);
  const bool sound = given->size() == count && std::all_of(given->begin(), given->end(), [&](std::int64_t v) {
                       return v >= least && v < std::int64_t{1} << 31;
                     });
  if (!sound) throw c.error(fmt::format("its {} are not {} numbers from {} on", name, count, least));
  return *given;
}

/// Zeros along an axis, where there are more on one side than the convolution itself adds on both.
Tensor with_zeros(Tensor x, int axis, Index before, Index after) {
  const auto zeros = [&](Index n) { return x.tape().constant(0, x.shape().with(axis, n)); };
  if (before > 0) x = concat({zeros(before), x}, axis);
  return after > 0 ? concat({x, zeros(after)}, axis) : x;
}

Values convolved(const Call& c) {
  Tensor x = c.real(0), w = c.real(1);
  const int rank = x.shape().rank();
  if ((rank != 3 && rank != 4) || w.shape().rank() != rank)
    throw c.error("input " + x.shape().str() + " and kernel " + w.shape().str() + ": only one or two axes have a form");
  if (c.node().get<std::string>("auto_pad", "NOTSET") != "NOTSET") throw c.error("auto_pad has no form here");
  const auto axes = static_cast<std::size_t>(rank - 2);
  const Integers strides = numbers(c, "strides", axes, 1, 1), dilations = numbers(c, "dilations", axes, 1, 1),
                 pads = numbers(c, "pads", 2 * axes, 0, 0);
  Conv2dOptions options{.groups = c.node().get<std::int64_t>("group", 1)};
  if (rank == 3) {
    x = reshape(x, x.shape().inserted(2, 1));
    w = reshape(w, w.shape().inserted(2, 1));
  }
  auto padded = static_cast<double>(x.size());
  for (std::size_t i = 0; i < axes; ++i) {
    const bool is_column = i + 1 == axes;
    const int axis = is_column ? 3 : 2;
    const Index before = pads[i], after = pads[axes + i], both = std::min(before, after);
    padded *=
        static_cast<double>(x.size(axis) + before + after) / static_cast<double>(std::max<Index>(x.size(axis), 1));
    if (padded > std::max(most_padded, 16 * static_cast<double>(x.size())))  // or a small file could ask for any memory
      throw c.error(fmt::format("with its padding the input {} would have {:.3g} numbers", x.shape().str(), padded));
    x = with_zeros(x, axis, before - both, after - both);
    (is_column ? options.stride.cols : options.stride.rows) = strides[i];
    (is_column ? options.dilation.cols : options.dilation.rows) = dilations[i];
    (is_column ? options.padding.cols : options.padding.rows) = both;
  }
  Tensor y = conv2d(x, w, options);
  if (c.has(2)) {
    const Tensor b = c.real(2);
    if (b.shape() != Shape{y.size(1)}) throw c.error("its bias is " + b.shape().str() + " of " + y.shape().str());
    y = y + reshape(b, {y.size(1), 1, 1});
  }
  return {rank == 3 ? reshape(y, y.shape().without(2)) : y};
}

}  // namespace

std::vector<Operator> row_operators() {
  return {
      {.type = "CumSum", .least = 2, .most = 2, .run = cumulated},
      {.type = "TopK", .least = 2, .most = 2, .outputs = 2, .run = topmost},
      {.type = "Hardmax", .run = largest_one},
      {.type = "Trilu", .most = 2, .run = lower_triangle},
      {.type = "Conv", .least = 2, .most = 3, .run = convolved},
  };
}

}  // namespace rw::detail::load
