#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/long_sum.h>
#include <rewind/core/reduce.h>

namespace rw {
namespace {

struct Same {
  template <class T>
  T operator()(T x) const {
    return x;
  }
};

// Attributes count axes from the front: one axis, one number.
int checked_axis(Index axis, const Shape& shape) {
  if (axis < 0 || axis >= shape.rank()) throw Error(fmt::format("no axis {} in shape {}", axis, shape.str()));
  return static_cast<int>(axis);
}

}  // namespace

// The shape of a leaf is given where it is made; these are never called through the tape's record.
Shape Constant::infer(std::span<const Shape>) const { return {}; }
Shape Variable::infer(std::span<const Shape>) const { return {}; }
Shape ParameterLeaf::infer(std::span<const Shape>) const { return {}; }
Shape Input::infer(std::span<const Shape>) const { return {}; }
Shape RandomKey::infer(std::span<const Shape>) const { return Shape{4}; }

Shape Fill::infer(std::span<const Shape>) const { return shape; }
void Fill::eval(std::span<const ConstView>, View y) const {
  visit_real(y.dtype, [&]<class T>() { std::fill_n(y.as<T>(), y.size(), static_cast<T>(value)); });
}
std::string Fill::describe() const { return fmt::format("{}", value); }

Shape Detach::infer(std::span<const Shape> in) const { return in[0]; }
bool Detach::alias(ConstView x, ConstView& y) const {
  y = x;
  return true;
}
void Detach::eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }

Shape AddN::infer(std::span<const Shape> in) const {
  if (in.empty()) throw Error("needs at least one input");
  for (const Shape& s : in)
    if (s != in[0]) throw Error("shapes differ: " + in[0].str() + " and " + s.str());
  return in[0];
}
void AddN::eval(std::span<const ConstView> x, View y) const {
  copy(x[0], y);
  LongSum aside;
  for (std::size_t i = 1; i < x.size(); ++i) {
    if (i % LongSum::block == 0) {
      aside.set_aside(y);
      copy(x[i], y);
    } else {
      add_into(x[i], y);
    }
  }
  aside.add_to(y);
}
void AddN::vjp(Vjp& g) const {
  for (int i = 0; i < g.inputs(); ++i) g.add(i, g.dy());
}

Shape Slice::infer(std::span<const Shape> in) const {
  const int a = checked_axis(axis, in[0]);
  if (start < 0 || length < 0 || length > in[0][a] - start)
    throw Error(fmt::format("{} positions from {} on are outside axis {} of {}", length, start, a, in[0].str()));
  return in[0].with(a, length);
}
bool Slice::alias(ConstView x, ConstView& y) const {
  const int last = x.shape.rank() - 1;
  y = x;
  y.shape = x.shape.with(static_cast<int>(axis), length);
  const auto at = [&](Index offset) {
    return static_cast<const char*>(x.data) + offset * static_cast<Index>(size_of(x.dtype));
  };
  if (axis == last) {
    y.data = at(start);
    if (x.shape.rank() == 1) y.stride = length;
    return true;
  }
  Index before = 1, between = 1;
  for (int i = 0; i < axis; ++i) before *= x.shape[i];
  for (int i = static_cast<int>(axis) + 1; i < last; ++i) between *= x.shape[i];
  if (before != 1) return false;
  y.data = at(start * between * x.stride);
  return true;
}
void Slice::eval(std::span<const ConstView> x, View y) const {
  if (y.size() == 0) return;
  const ConstView part = slice_as_rows(x[0], axis, start, length);
  copy(part, contiguous_view(y.data, part.shape, y.dtype));
}
void Slice::vjp(Vjp& g) const { g.add_slice(0, g.dy(), static_cast<int>(axis), start); }
Tensor Slice::vmap(Vmap& v) const { return record(Slice{axis + 1, start, length}, {v.x(0)}); }
std::string Slice::describe() const { return fmt::format("axis {}, {}:{}", axis, start, start + length); }

Shape Concat::infer(std::span<const Shape> in) const {
  if (in.empty()) throw Error("needs at least one input");
  const int a = checked_axis(axis, in[0]);
  Index length = 0;
  for (const Shape& s : in) {
    if (s.rank() != in[0].rank() || s.with(a, 0) != in[0].with(a, 0))
      throw Error(fmt::format("shapes differ beside axis {}: {} and {}", a, in[0].str(), s.str()));
    length += s[a];
  }
  return in[0].with(a, length);
}
void Concat::eval(std::span<const ConstView> x, View y) const {
  Index start = 0;
  for (const ConstView& piece : x) {
    const Index length = piece.shape[static_cast<int>(axis)];
    if (piece.size() > 0) {
      const View part = slice_as_rows(y, axis, start, length);
      if (piece.contiguous())
        copy(contiguous_view(piece.data, part.shape, piece.dtype), part);
      else
        for (Index r = 0, per = piece.rows() / part.rows(); r < part.rows(); ++r)
          for (Index i = 0; i < per; ++i)
            std::memcpy(static_cast<char*>(part.data) +
                            (r * part.stride + i * piece.cols()) * static_cast<Index>(size_of(y.dtype)),
                        static_cast<const char*>(piece.data) +
                            (r * per + i) * piece.stride * static_cast<Index>(size_of(y.dtype)),
                        static_cast<std::size_t>(piece.cols()) * size_of(y.dtype));
    }
    start += length;
  }
}
void Concat::vjp(Vjp& g) const {
  Index start = 0;
  for (int i = 0; i < g.inputs(); ++i) {
    const Index length = g.x(i).shape()[static_cast<int>(axis)];
    if (g.needs(i)) g.add(i, record(Slice{axis, start, length}, {g.dy()}));
    start += length;
  }
}
Tensor Concat::vmap(Vmap& v) const {
  std::vector<Operand> all;
  for (int i = 0; i < v.inputs(); ++i) all.emplace_back(v.all(i));
  return record(Concat{axis + 1}, std::span<const Operand>(all));
}
std::string Concat::describe() const { return fmt::format("axis {}", axis); }

Shape SumTo::infer(std::span<const Shape> in) const {
  if (!broadcasts_to(shape, in[0])) throw Error("cannot sum " + in[0].str() + " to " + shape.str());
  return shape;
}
void SumTo::eval(std::span<const ConstView> x, View y) const { sum_to(x[0], y); }
void SumTo::vjp(Vjp& g) const { g.add(0, record(BroadcastTo{g.x(0).shape()}, {g.dy()})); }
Tensor SumTo::vmap(Vmap& v) const {
  const Tensor sums = record(SumTo{v.many(shape, v.shape(0).rank())}, {v.x(0)});
  return record(Reshape{v.many(shape)}, {sums});
}

Shape BroadcastTo::infer(std::span<const Shape> in) const {
  if (!broadcasts_to(in[0], shape)) throw Error("cannot broadcast " + in[0].str() + " to " + shape.str());
  return shape;
}
void BroadcastTo::eval(std::span<const ConstView> x, View y) const {
  static const VectorLoop same = vector_loop<Same, 1>();
  const Same fn;
  broadcast_loop(same, &fn, x, y);
}
void BroadcastTo::vjp(Vjp& g) const { g.add(0, record(SumTo{g.x(0).shape()}, {g.dy()})); }
Tensor BroadcastTo::vmap(Vmap& v) const {
  return record(BroadcastTo{v.many(shape)}, {record(Reshape{v.many(v.shape(0), shape.rank())}, {v.x(0)})});
}

Shape Reshape::infer(std::span<const Shape> in) const {
  if (in[0].size() != shape.size()) throw Error("sizes differ: " + in[0].str() + " to " + shape.str());
  return shape;
}
bool Reshape::alias(ConstView x, ConstView& y) const {
  if (!x.contiguous() && x.cols() != shape.cols()) return false;
  y = contiguous_view(x.data, shape, x.dtype);
  if (!x.contiguous()) y.stride = x.stride;
  return true;
}
void Reshape::eval(std::span<const ConstView> x, View y) const {
  copy(x[0], contiguous_view(y.data, x[0].shape, y.dtype));
}
void Reshape::vjp(Vjp& g) const { g.add(0, record(Reshape{g.x(0).shape()}, {g.dy()})); }
Tensor Reshape::vmap(Vmap& v) const { return record(Reshape{v.many(shape)}, {v.x(0)}); }

View slice_as_rows(View whole, Index axis, Index start, Index length) {
  const ConstView part = slice_as_rows(static_cast<ConstView>(whole), axis, start, length);
  return {const_cast<void*>(part.data), part.shape, part.stride, part.dtype};
}
ConstView slice_as_rows(ConstView whole, Index axis, Index start, Index length) {
  Index outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= whole.shape[i];
  for (int i = static_cast<int>(axis) + 1; i < whole.shape.rank(); ++i) inner *= whole.shape[i];
  const bool last = axis == whole.shape.rank() - 1;
  ConstView part;
  part.data =
      static_cast<const char*>(whole.data) + start * (last ? 1 : inner) * static_cast<Index>(size_of(whole.dtype));
  part.shape = Shape{outer, length * inner};
  part.stride = last ? whole.stride : whole.shape[static_cast<int>(axis)] * inner;
  part.dtype = whole.dtype;
  return part;
}

}  // namespace rw
