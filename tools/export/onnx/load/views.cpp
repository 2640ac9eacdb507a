#include <algorithm>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw::detail::load {
namespace {

std::vector<std::int64_t> lengths_of(const Shape& s) { return {s.begin(), s.end()}; }

Values same(const Call& c) { return {c.value(0)}; }

/// Of a network that is used: the value again, and no mask.
Values dropped(const Call& c) {
  if (c.has(2) && c.number(2) != 0) throw c.error("it is of a network in training: export it after eval()");
  return {c.value(0)};
}

/// Axis a of the result is axis axes[a] of w.
Whole turned(const Whole& w, const std::vector<int>& axes) {
  std::vector<Index> strides(axes.size(), 1);
  for (std::size_t a = axes.size(); a-- > 1;) strides[a - 1] = strides[a] * w.shape[static_cast<int>(a)];
  std::vector<std::int64_t> lengths;
  lengths.reserve(axes.size());
  for (const int a : axes) lengths.push_back(w.shape[a]);
  Whole out{.shape = shape_from(lengths), .values = w.values};
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    auto rest = static_cast<Index>(i);
    Index from = 0;
    for (std::size_t a = axes.size(); a-- > 0; rest /= lengths[a])
      from += rest % lengths[a] * strides[static_cast<std::size_t>(axes[a])];
    out.values[i] = w.values[static_cast<std::size_t>(from)];
  }
  return out;
}

Values transposed(const Call& c) {
  const Shape shape = c.shape(0);
  std::vector<int> axes;
  if (const auto* perm = c.node().find<std::vector<std::int64_t>>("perm")) {
    if (perm->size() != static_cast<std::size_t>(shape.rank()))
      throw c.error(fmt::format("perm has {} axes, and the input is {}", perm->size(), shape.str()));
    for (const std::int64_t a : *perm) axes.push_back(c.axis(a, shape.rank()));
  } else {
    for (int a = shape.rank(); a-- > 0;) axes.push_back(a);
  }
  if (!c.is_whole(0)) return {permute(c.tensor(0), axes)};
  return {turned(c.whole(0), axes)};
}

/// 0 is the length that was there, -1 what the others leave.
Values reshape_(const Call& c) {
  const Shape from = c.shape(0);
  std::vector<std::int64_t> to = c.whole(1).values;
  const bool zeros = c.node().get<std::int64_t>("allowzero", 0) != 0;
  Index known = 1;
  std::int64_t* open = nullptr;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == 0 && !zeros && i < static_cast<std::size_t>(from.rank())) to[i] = from[static_cast<int>(i)];
    if (to[i] == -1 && open == nullptr)
      open = &to[i];
    else if (to[i] < 0 || __builtin_mul_overflow(known, to[i], &known))
      throw c.error(fmt::format("{} is no length to reshape to", to[i]));
  }
  if (open != nullptr) {
    if (known == 0 || from.size() % known != 0)
      throw c.error(fmt::format("{} does not divide into pieces of {}", from.str(), known));
    *open = from.size() / known;
  }
  return {reshaped(c.value(0), shape_from(to))};
}

Values squeezed(const Call& c) {
  const Shape from = c.shape(0);
  const auto axes = c.axes("axes", 1);
  std::vector<bool> goes(static_cast<std::size_t>(from.rank()), false);
  for (int a = 0; a < from.rank() && !axes; ++a) goes[static_cast<std::size_t>(a)] = from[a] == 1;
  for (const std::int64_t said : axes.value_or(std::vector<std::int64_t>())) {
    const int a = c.axis(said, from.rank());
    if (from[a] != 1) throw c.error(fmt::format("axis {} of {} is not 1", a, from.str()));
    goes[static_cast<std::size_t>(a)] = true;
  }
  std::vector<std::int64_t> to;
  for (int a = 0; a < from.rank(); ++a)
    if (!goes[static_cast<std::size_t>(a)]) to.push_back(from[a]);
  return {reshaped(c.value(0), shape_from(to))};
}

Values unsqueezed(const Call& c) {
  const auto axes = c.axes("axes", 1);
  if (!axes) throw c.error("it has no axes");
  const Shape from = c.shape(0);
  const int rank = from.rank() + static_cast<int>(std::min<std::size_t>(axes->size(), max_rank + 1));
  if (rank > max_rank) throw c.error(fmt::format("a tensor has at most {} axes", max_rank));
  std::vector<std::int64_t> to(static_cast<std::size_t>(rank), 0);
  for (const std::int64_t a : *axes) {
    auto& length = to[static_cast<std::size_t>(c.axis(a, rank))];
    if (length == 1) throw c.error("an axis is named twice");
    length = 1;
  }
  int next = 0;
  for (auto& length : to)
    if (length == 0) length = from[next++];
  return {reshaped(c.value(0), shape_from(to))};
}

Values flattened(const Call& c) {
  const Shape from = c.shape(0);
  const std::int64_t said = c.node().get<std::int64_t>("axis", 1);
  const int axis = said == from.rank() ? from.rank() : c.axis(said, from.rank());
  Index rows = 1;
  for (int a = 0; a < axis; ++a) rows *= from[a];
  Index columns = 1;
  for (int a = axis; a < from.rank(); ++a) columns *= from[a];
  return {reshaped(c.value(0), {rows, columns})};
}

Values concat_(const Call& c) {
  Values parts;
  for (std::size_t i = 0; i < c.inputs(); ++i) parts.push_back(c.value(i));
  const auto* axis = c.node().find<std::int64_t>("axis");
  if (axis == nullptr) throw c.error("it has no axis");
  return {joined(c, parts, c.axis(*axis, c.shape(0).rank()))};
}

std::vector<Index> range(Index first, Index count) {
  std::vector<Index> out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), first);
  return out;
}

/// The positions from `start` to before `end`, as Python counts them.
std::vector<Index> sliced_positions(std::int64_t start, std::int64_t end, std::int64_t step, Index length) {
  const auto from_front = [&](std::int64_t i, std::int64_t lowest, std::int64_t highest) {
    if (i < 0) i = i < -length ? lowest : i + length;
    return std::clamp(i, lowest, highest);
  };
  std::vector<Index> out;
  if (length == 0) return out;
  if (step > 0) {
    const std::int64_t stop = from_front(end, 0, length);
    for (std::int64_t i = from_front(start, 0, length); i < stop; i += std::min<std::int64_t>(step, length))
      out.push_back(i);
  } else {
    const std::int64_t stop = from_front(end, -1, length - 1);
    for (std::int64_t i = from_front(start, -1, length - 1); i > stop; i += std::max<std::int64_t>(step, -length))
      out.push_back(i);
  }
  return out;
}

Values slice_(const Call& c) {
  const auto starts = c.axes("starts", 1), ends = c.axes("ends", 2), steps = c.axes("", 4);
  auto axes = c.axes("axes", 3);
  if (!starts || !ends) throw c.error("it does not say from where to where");
  const std::size_t count = starts->size();
  if (!axes) axes = range(0, static_cast<Index>(count));
  if (ends->size() != count || axes->size() != count || (steps && steps->size() != count))
    throw c.error("its starts, ends, axes and steps are not as many");
  Value x = c.value(0);
  const Shape shape = c.shape(0);
  std::vector<bool> cut(static_cast<std::size_t>(shape.rank()), false);
  for (std::size_t i = 0; i < count; ++i) {
    const int axis = c.axis((*axes)[i], shape.rank());
    if (cut[static_cast<std::size_t>(axis)]) throw c.error(fmt::format("axis {} is named twice", axis));
    cut[static_cast<std::size_t>(axis)] = true;
    const std::int64_t step = steps ? (*steps)[i] : 1;
    if (step == 0) throw c.error("a step is 0");
    x = taken(c, x, axis, sliced_positions((*starts)[i], (*ends)[i], step, shape[axis]));
  }
  return {x};
}

Values split_(const Call& c) {
  const Shape shape = c.shape(0);
  const int axis = c.axis(c.node().get<std::int64_t>("axis", 0), shape.rank());
  auto lengths = c.axes("split", 1);
  const auto pieces = static_cast<Index>(c.outputs());
  if (!lengths) {
    if (shape[axis] % pieces != 0) throw c.error(fmt::format("{} is not divisible by {}", shape[axis], pieces));
    lengths = std::vector<std::int64_t>(c.outputs(), shape[axis] / pieces);
  }
  Index left = shape[axis];
  Values out;
  for (const std::int64_t n : *lengths) {
    if (n < 0 || n > left) throw c.error(fmt::format("its lengths are not those of axis {} of {}", axis, shape.str()));
    out.push_back(taken(c, c.value(0), axis, range(shape[axis] - left, n)));
    left -= n;
  }
  if (left != 0 || out.size() != c.outputs())
    throw c.error(fmt::format("its lengths are not those of axis {} of {}", axis, shape.str()));
  return out;
}

// ---- Gather

/// Along an axis by indices that only running the network tells: rows of a table.
Tensor looked_up(const Call& c, Tensor x, int axis, Tensor indices) {
  const Shape from = x.shape(), at = indices.shape();
  if (from.rank() + at.rank() - 1 > max_rank) throw c.error(fmt::format("a tensor has at most {} axes", max_rank));
  std::vector<int> to_front{axis};
  std::vector<std::int64_t> lengths = lengths_of(at);
  for (int a = 0; a < from.rank(); ++a)
    if (a != axis) {
      to_front.push_back(a);
      lengths.push_back(from[a]);
    }
  const Index rest = from[axis] == 0 ? from.without(axis).size() : from.size() / from[axis];
  const Tensor table = axis == 0 ? x : permute(x, to_front);
  const Tensor rows = lookup(from.rank() == 2 ? table : reshape(table, {from[axis], rest}), indices);
  const Tensor y = from.rank() == 2 ? rows : reshape(rows, shape_from(lengths));
  if (axis == 0) return y;
  std::vector<int> back;  // the indices' axes stand where the axis was
  back.reserve(lengths.size());
  for (int a = 0; a < axis; ++a) back.push_back(at.rank() + a);
  for (int a = 0; a < at.rank(); ++a) back.push_back(a);
  for (int a = axis; a + 1 < from.rank(); ++a) back.push_back(at.rank() + a);
  return permute(y, back);
}

Values gathered(const Call& c) {
  const Shape shape = c.shape(0);
  const int axis = c.axis(c.node().get<std::int64_t>("axis", 0), shape.rank());
  if (!c.is_whole(1)) {
    const Tensor indices = c.tensor(1);
    if (is_real(indices.dtype())) throw c.error("its indices are real");
    return {looked_up(c, c.real(0), axis, indices)};
  }
  const Whole& at = c.whole(1);
  std::vector<Index> positions;
  for (const std::int64_t i : at.values) {
    if (i < -shape[axis] || i >= shape[axis])
      throw c.error(fmt::format("index {} is outside of axis {} of {}", i, axis, shape.str()));
    positions.push_back(i < 0 ? i + shape[axis] : i);
  }
  std::vector<std::int64_t> to = lengths_of(shape), of = lengths_of(at.shape);
  to.erase(to.begin() + axis);
  to.insert(to.begin() + axis, of.begin(), of.end());
  return {reshaped(taken(c, c.value(0), axis, positions), shape_from(to))};
}

/// One element of each row.
Values gathered_elements(const Call& c) {
  const Tensor x = c.real(0), at = c.tensor(1);
  const Shape shape = at.shape();
  const int last = x.shape().rank() - 1;
  if (shape.rank() != last + 1 || last < 0 || shape[last] != 1 || shape.with(last, 0) != x.shape().with(last, 0) ||
      c.axis(c.node().get<std::int64_t>("axis", 0), last + 1) != last || is_real(at.dtype()))
    throw c.error("it is read for one index in each row of the last axis alone");
  return {reshape(pick(x, reshape(at, shape.without(last))), shape)};
}

Values expanded(const Call& c) {
  const Shape to = broadcast(c.shape(0), shape_from(c.whole(1).values));
  if (c.is_whole(0)) return {stretched(c, c.whole(0), to)};
  return {to == c.shape(0) ? c.real(0) : broadcast_to(c.real(0), to)};
}

}  // namespace

std::vector<Operator> view_operators() {
  return {
      {.type = "Identity", .run = same},
      {.type = "Dropout", .most = 3, .outputs = 2, .run = dropped},
      {.type = "Transpose", .run = transposed},
      {.type = "Reshape", .least = 2, .most = 2, .run = reshape_},
      {.type = "Squeeze", .most = 2, .run = squeezed},
      {.type = "Unsqueeze", .most = 2, .run = unsqueezed},
      {.type = "Flatten", .run = flattened},
      {.type = "Concat", .most = any_number, .run = concat_},
      {.type = "Slice", .most = 5, .run = slice_},
      {.type = "Split", .most = 2, .outputs = any_number, .run = split_},
      {.type = "Gather", .least = 2, .most = 2, .run = gathered},
      {.type = "GatherElements", .least = 2, .most = 2, .run = gathered_elements},
      {.type = "Expand", .least = 2, .most = 2, .run = expanded},
  };
}

}  // namespace rw::detail::load
