#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/autograd/permute.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>

namespace rw {
namespace {

using detail::at;

// What a permuted copy loops over, outermost first: lengths, and strides of both sides.
struct Axis {
  Index length, from, to;
};

// One plane: a is contiguous in the source, b in the target. Tiles keep both sides within the cache.
template <class T>
void copy_plane(const T* from, T* to, const Axis& a, const Axis& b) {
  constexpr Index tile = 16;
  for (Index i0 = 0; i0 < a.length; i0 += tile)
    for (Index j0 = 0; j0 < b.length; j0 += tile)
      for (Index i = i0; i < std::min(a.length, i0 + tile); ++i)
        for (Index j = j0; j < std::min(b.length, j0 + tile); ++j) to[i * a.to + j] = from[i + j * b.from];
}

template <class T>
void copy_axes(std::span<const Axis> outer, const T* from, T* to, const Axis* a, const Axis& b) {
  if (!outer.empty()) {
    for (Index i = 0; i < outer[0].length; ++i)
      copy_axes(outer.subspan(1), from + i * outer[0].from, to + i * outer[0].to, a, b);
  } else if (a == nullptr) {
    std::memcpy(to, from, at(b.length) * sizeof(T));
  } else {
    copy_plane(from, to, *a, b);
  }
}

}  // namespace

Shape Permute::infer(std::span<const Shape> in) const {
  if (rank != in[0].rank()) throw Error(fmt::format("an order of {} axes for {}", rank, in[0].str()));
  Shape out = in[0];
  std::array<bool, max_rank> taken{};
  for (int i = 0; i < in[0].rank(); ++i) {
    const Index axis = axes[at(i)];
    if (axis < 0 || axis >= rank || taken[at(axis)])
      throw Error(fmt::format("{} is no order of the axes of {}", describe(), in[0].str()));
    taken[at(axis)] = true;
    out = out.with(i, in[0][static_cast<int>(axis)]);
  }
  return out;
}

void Permute::eval(std::span<const ConstView> x, View y) const {
  if (y.size() == 0) return;
  const Shape& shape = x[0].shape;
  const int last = shape.rank() - 1;
  std::array<Index, max_rank> from{};
  for (int i = last; i >= 0; --i)
    from[at(i)] = i == last ? 1 : i == last - 1 ? x[0].stride : from[at(i + 1)] * shape[i + 1];
  std::array<Axis, max_rank> outer{};
  std::size_t count = 0;
  Axis in_rows{1, 1, 1}, out_rows{1, 1, 1};
  bool same_rows = true;
  Index to = 1;
  for (int i = last; i >= 0; --i) {
    const Axis axis{y.shape[i], from[at(axes[at(i)])], to};
    to *= axis.length;
    if (i == last) {
      out_rows = axis;
    } else if (axes[at(i)] == last) {
      in_rows = axis;
      same_rows = false;
    } else {
      outer[count++] = axis;
    }
  }
  std::reverse(outer.begin(), outer.begin() + static_cast<std::ptrdiff_t>(count));
  visit_dtype(y.dtype, [&]<class T>() {
    copy_axes<T>(std::span<const Axis>(outer).first(count), x[0].as<T>(), y.as<T>(), same_rows ? nullptr : &in_rows,
                 out_rows);
  });
}

void Permute::vjp(Vjp& g) const {
  Permute back{.rank = rank};
  for (Index i = 0; i < rank; ++i) back.axes[at(axes[at(i)])] = i;
  g.add(0, record(back, {g.dy()}));
}

Tensor Permute::vmap(Vmap& v) const {
  Permute many{.rank = rank + 1};
  for (Index i = 0; i < rank; ++i) many.axes[at(i + 1)] = axes[at(i)] + 1;
  return record(many, {v.x(0)});
}

std::string Permute::describe() const {
  return fmt::format("axes {}", fmt::join(axes.begin(), axes.begin() + rank, " "));
}

Shape Flip::infer(std::span<const Shape> in) const {
  if (axis < 0 || axis >= in[0].rank()) throw Error(fmt::format("no axis {} in shape {}", axis, in[0].str()));
  return in[0];
}

void Flip::eval(std::span<const ConstView> x, View y) const {
  Index outer = 1, inner = 1;
  const Index length = y.shape[static_cast<int>(axis)];
  for (int i = 0; i < y.shape.rank(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : y.shape[i];
  visit_dtype(y.dtype, [&]<class T>() {
    for (Index o = 0; o < outer; ++o)
      for (Index i = 0; i < length; ++i)
        std::copy_n(x[0].as<T>() + (o * length + i) * inner, inner, y.as<T>() + ((o + 1) * length - 1 - i) * inner);
  });
}

void Flip::vjp(Vjp& g) const { g.add(0, record(*this, {g.dy()})); }

Tensor Flip::vmap(Vmap& v) const { return record(Flip{axis + 1}, {v.x(0)}); }

std::string Flip::describe() const { return fmt::format("axis {}", axis); }

}  // namespace rw
