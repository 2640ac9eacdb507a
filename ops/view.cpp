#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/autograd/permute.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/ops/axes.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

std::vector<Operand> operands(std::span<const Tensor> x) { return {x.begin(), x.end()}; }

Tensor concat_operands(std::span<const Operand> x, const Tensor* first, int axis) {
  // With no Tensor to count from, `record` says what is wrong.
  const int from_front = first == nullptr ? axis : checked_axis("concat", *first, axis);
  return record(Concat{from_front}, x);
}

}  // namespace

Tensor reshape(Tensor x, const Shape& shape) { return record(Reshape{shape}, {x}); }

Tensor reshape(Tensor x, std::initializer_list<Index> lengths) {
  std::vector<Index> dims(lengths);
  const auto open = std::find(dims.begin(), dims.end(), -1);
  if (open != dims.end()) {
    *open = 1;
    const Index rest = std::accumulate(dims.begin(), dims.end(), Index{1}, std::multiplies<>());
    if (rest <= 0 || x.size() % rest != 0 || std::count(dims.begin(), dims.end(), -1) > 0) {
      *open = -1;
      throw x.tape().error("reshape",
                           fmt::format("cannot infer the -1 of ({}) from {}", fmt::join(dims, ", "), x.shape().str()));
    }
    *open = x.size() / rest;
  }
  return reshape(x, Shape(dims));
}

Tensor transpose(Tensor x) {
  const int rank = x.shape().rank();
  if (rank < 2) throw x.tape().error("transpose", "needs two axes or more: " + x.shape().str());
  std::array<int, max_rank> axes{};
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<std::size_t>(rank - 1)], axes[static_cast<std::size_t>(rank - 2)]);
  return permute(x, std::span<const int>(axes).first(static_cast<std::size_t>(rank)));
}

Tensor permute(Tensor x, std::initializer_list<int> axes) {
  return permute(x, std::span<const int>(axes.begin(), axes.size()));
}

Tensor permute(Tensor x, std::span<const int> axes) {
  Permute op{.rank = x.shape().rank()};
  std::array<bool, max_rank> seen{};
  bool fits = static_cast<int>(axes.size()) == x.shape().rank();
  for (std::size_t i = 0; fits && i < axes.size(); ++i) {
    const int axis = checked_axis("permute", x, axes[i]);
    op.axes[i] = axis;
    fits = !std::exchange(seen[static_cast<std::size_t>(axis)], true);
  }
  if (!fits)
    throw x.tape().error(
        "permute", fmt::format("({}) does not name every axis of {} once", fmt::join(axes, ", "), x.shape().str()));
  return record(op, {x});
}

Tensor slice(Tensor x, int axis, Index start, Index length) {
  return record(Slice{checked_axis("slice", x, axis), start, length}, {x});
}

Tensor select(Tensor x, int axis, Index i) {
  const int a = checked_axis("select", x, axis);
  const Shape shape = x.shape();
  const Index at = i < 0 ? i + shape[a] : i;
  if (at < 0 || at >= shape[a])
    throw x.tape().error("select", fmt::format("no position {} on axis {} of {}", i, a, shape.str()));
  return reshape(slice(x, a, at, 1), shape.without(a));
}

void detail::split_into(std::span<Tensor> pieces, const Tensor& x, int axis) {
  const int a = checked_axis("split", x, axis);
  const Index length = x.shape()[a], count = static_cast<Index>(pieces.size());
  if (count == 0 || length % count != 0)
    throw x.tape().error("split", fmt::format("axis {} of {} does not divide into {}", a, x.shape().str(), count));
  for (Index i = 0; i < count; ++i)
    pieces[static_cast<std::size_t>(i)] = record(Slice{a, i * (length / count), length / count}, {x});
}

std::vector<Tensor> split(Tensor x, Index pieces, int axis) {
  if (pieces < 1) throw x.tape().error("split", fmt::format("into {} pieces", pieces));
  std::vector<Tensor> out(static_cast<std::size_t>(pieces));
  detail::split_into(out, x, axis);
  return out;
}

std::vector<Tensor> split(Tensor x, std::span<const Index> lengths, int axis) {
  const int a = checked_axis("split", x, axis);
  if (std::accumulate(lengths.begin(), lengths.end(), Index{0}) != x.shape()[a] ||
      std::any_of(lengths.begin(), lengths.end(), [](Index n) { return n < 0; }))
    throw x.tape().error("split", fmt::format("pieces of {} do not add up to axis {} of {}", fmt::join(lengths, ", "),
                                              a, x.shape().str()));
  std::vector<Tensor> out;
  Index start = 0;
  for (Index length : lengths) {
    out.push_back(record(Slice{a, start, length}, {x}));
    start += length;
  }
  return out;
}

std::vector<Tensor> split(Tensor x, std::initializer_list<Index> lengths, int axis) {
  return split(x, std::span<const Index>(lengths.begin(), lengths.size()), axis);
}

Tensor concat(std::span<const Tensor> x, int axis) {
  const std::vector<Operand> all = operands(x);
  return concat_operands(all, x.empty() ? nullptr : &x[0], axis);
}

Tensor concat(std::initializer_list<Operand> x, int axis) {
  const auto tensor = std::find_if(x.begin(), x.end(), [](const Operand& o) { return o.tensor() != nullptr; });
  return concat_operands({x.begin(), x.size()}, tensor == x.end() ? nullptr : tensor->tensor(), axis);
}

Tensor stack(std::initializer_list<Tensor> x, int axis) {
  return stack(std::span<const Tensor>(x.begin(), x.size()), axis);
}

Tensor stack(std::span<const Tensor> x, int axis) {
  if (x.empty()) throw Error("[stack] needs at least one tensor");
  const Shape shape = x[0].shape();
  const int a = axis < 0 ? axis + shape.rank() + 1 : axis;
  if (a < 0 || a > shape.rank())
    throw x[0].tape().error("stack", fmt::format("no place {} for a new axis of {}", axis, shape.str()));
  for (const Tensor& t : x)
    if (t.shape() != shape)
      throw t.tape().error("stack", fmt::format("shapes differ: {} and {}", shape.str(), t.shape().str()));
  for (const Tensor& t : x)
    if (t.shape() != shape)
      throw t.tape().error("stack", fmt::format("shapes differ: {} and {}", shape.str(), t.shape().str()));
  std::vector<Operand> layers;
  for (const Tensor& t : x) layers.emplace_back(reshape(t, shape.inserted(a, 1)));
  return record(Concat{a}, std::span<const Operand>(layers));
}

Tensor broadcast_to(Operand x, const Shape& shape) { return record(BroadcastTo{shape}, {x}); }

Tensor flip(Tensor x, int axis) { return record(Flip{checked_axis("flip", x, axis)}, {x}); }

}  // namespace rw
