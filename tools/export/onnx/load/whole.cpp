#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/strides.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw::detail::load {
namespace {

constexpr Index most = 1 << 20;

/// Product of the lengths of axes from `first` to before `end`.
Index product(const Shape& shape, int first, int end) {
  Index n = 1;
  for (int a = first; a < end; ++a) n *= shape[a];
  return n;
}

/// Where element i of a shape comes from in one that is stretched to it.
Index source(const Shape& from, const Shape& to, Index i) {
  const auto strides = rw::detail::stretched_strides(from, from.rank() == 0 ? 1 : from.cols(), to);
  Index out = 0;
  for (int a = to.rank(); a-- > 0; i /= to[a]) out += i % to[a] * strides[at(a)];
  return out;
}

Whole taken(const Call& call, const Whole& x, int axis, const std::vector<Index>& positions) {
  const Index outer = product(x.shape, 0, axis), inner = product(x.shape, axis + 1, x.shape.rank());
  Whole out{.shape = x.shape.with(axis, static_cast<Index>(positions.size()))};
  check_few(call, out.shape);
  for (Index o = 0; o < outer; ++o)
    for (const Index p : positions)
      for (Index i = 0; i < inner; ++i) out.values.push_back(x.values[at((o * x.shape[axis] + p) * inner + i)]);
  return out;
}

/// Whether positions follow one another, forwards or backwards.
bool in_a_row(const std::vector<Index>& positions, Index by) {
  for (std::size_t k = 1; k < positions.size(); ++k)
    if (positions[k] != positions[k - 1] + by) return false;
  return true;
}

Tensor taken(Tensor x, int axis, const std::vector<Index>& positions) {
  const auto count = static_cast<Index>(positions.size());
  if (count == 0) return slice(x, axis, 0, 0);
  if (in_a_row(positions, 1)) return count == x.size(axis) ? x : slice(x, axis, positions[0], count);
  if (in_a_row(positions, -1)) return flip(slice(x, axis, positions.back(), count), axis);
  std::vector<Tensor> parts;
  parts.reserve(positions.size());
  for (const Index p : positions) parts.push_back(slice(x, axis, p, 1));
  return concat(parts, axis);
}

}  // namespace

Shape shape_from(const std::vector<std::int64_t>& lengths) {
  if (lengths.size() > max_rank)
    throw Error(fmt::format("a shape of {} axes: at most {} are read", lengths.size(), max_rank));
  return Shape(std::span<const Index>(lengths));
}

Array to_i32(const Whole& x) {
  Array out(x.shape, DType::i32);
  const auto to = out.span<std::int32_t>();
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (x.values[i] != static_cast<std::int32_t>(x.values[i]))
      throw Error(fmt::format("{} does not fit i32", x.values[i]));
    to[i] = static_cast<std::int32_t>(x.values[i]);
  }
  return out;
}

Array to_f64(const Whole& x) { return Array(std::vector<double>(x.values.begin(), x.values.end()), x.shape); }

void check_few(const Call& call, const Shape& shape) {
  if (shape.size() > most) throw call.error(fmt::format("{} whole numbers are more than are computed", shape.size()));
}

Whole mapped(const Whole& x, std::int64_t (*f)(std::int64_t)) {
  Whole out = x;
  std::transform(out.values.begin(), out.values.end(), out.values.begin(), f);
  return out;
}

Whole mapped(const Call& call, const Whole& a, const Whole& b,
             const std::function<std::int64_t(std::int64_t, std::int64_t)>& f) {
  Whole out{.shape = broadcast(a.shape, b.shape)};
  check_few(call, out.shape);
  for (Index i = 0; i < out.shape.size(); ++i)
    out.values.push_back(f(a.values[at(source(a.shape, out.shape, i))], b.values[at(source(b.shape, out.shape, i))]));
  return out;
}

Whole stretched(const Call& call, const Whole& x, const Shape& to) {
  Whole out{.shape = to};
  check_few(call, to);
  for (Index i = 0; i < to.size(); ++i) out.values.push_back(x.values[at(source(x.shape, to, i))]);
  return out;
}

Value taken(const Call& call, const Value& x, int axis, const std::vector<Index>& positions) {
  if (const auto* w = std::get_if<Whole>(&x)) return taken(call, *w, axis, positions);
  return taken(std::get<Tensor>(x), axis, positions);
}

Value reshaped(const Value& x, const Shape& shape) {
  const auto* w = std::get_if<Whole>(&x);
  if (w == nullptr) return reshape(std::get<Tensor>(x), shape);
  if (shape.size() != w->shape.size())
    throw Error(fmt::format("{} has another number of elements than {}", w->shape.str(), shape.str()));
  return Whole{shape, w->values};
}

Value joined(const Call& call, const Values& parts, int axis) {
  if (std::any_of(parts.begin(), parts.end(), [](const Value& v) { return std::holds_alternative<Tensor>(v); })) {
    std::vector<Tensor> tensors;
    for (const Value& v : parts) tensors.push_back(call.tensor(v));
    return concat(tensors, axis);
  }
  const Shape& first = std::get<Whole>(parts[0]).shape;
  Index length = 0;
  for (const Value& v : parts) {
    const Shape& s = std::get<Whole>(v).shape;
    if (s.rank() != first.rank() || s.with(axis, 0) != first.with(axis, 0))
      throw call.error(fmt::format("{} and {} cannot be put end to end", first.str(), s.str()));
    length += s[axis];
  }
  Whole out{.shape = first.with(axis, length)};
  check_few(call, out.shape);
  for (Index o = 0; o < product(first, 0, axis); ++o)
    for (const Value& v : parts) {
      const Whole& w = std::get<Whole>(v);
      const Index piece = product(w.shape, axis, w.shape.rank());
      out.values.insert(out.values.end(), w.values.begin() + o * piece, w.values.begin() + (o + 1) * piece);
    }
  return out;
}

}  // namespace rw::detail::load
