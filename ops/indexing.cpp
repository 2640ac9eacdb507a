#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/indexing.h>

namespace rw {
namespace {

std::size_t bytes(Index n, DType dtype) { return static_cast<std::size_t>(n) * size_of(dtype); }

void set_zero(View y) { std::memset(y.data, 0, bytes(y.size(), y.dtype)); }

Shape with_last(const Shape& shape, Index length) { return shape.inserted(shape.rank(), length); }

}  // namespace

std::span<const std::int32_t> detail::checked_indices(ConstView indices, Index bound) {
  const std::span<const std::int32_t> all(indices.as<std::int32_t>(), static_cast<std::size_t>(indices.size()));
  const auto bad = std::find_if(all.begin(), all.end(), [&](std::int32_t i) { return i < 0 || i >= bound; });
  if (bad != all.end())
    throw Error(fmt::format("index {} at position {} of {} is outside [0, {})", *bad, bad - all.begin(),
                            indices.shape.str(), bound));
  return all;
}

void detail::check_one_index_a_row(const Shape& x, const Shape& indices) {
  if (x.rank() == 0 || x.without(x.rank() - 1) != indices)
    throw Error(fmt::format("needs one index for each row: {} and indices {}", x.str(), indices.str()));
}

Shape Lookup::infer(std::span<const Shape> in) const {
  if (in[0].rank() != 2) throw Error("the table must be [rows, columns], not " + in[0].str());
  return with_last(in[1], in[0][1]);
}
void Lookup::eval(std::span<const ConstView> x, View y) const {
  const Index cols = y.cols();
  const std::size_t row = bytes(cols, y.dtype);
  auto* to = static_cast<std::byte*>(y.data);
  for (std::int32_t i : detail::checked_indices(x[1], x[0].shape[0])) {
    std::memcpy(to, static_cast<const std::byte*>(x[0].data) + static_cast<std::size_t>(i) * row, row);
    to += row;
  }
}
void Lookup::vjp(Vjp& g) const { g.add(0, record(ScatterRows{g.x(0).shape()[0]}, {g.dy(), g.x(1)})); }

Shape ScatterRows::infer(std::span<const Shape> in) const {
  detail::check_one_index_a_row(in[0], in[1]);
  return Shape{rows, in[0].cols()};
}
void ScatterRows::eval(std::span<const ConstView> x, View y) const {
  set_zero(y);
  eval_add(x, y);
}
void ScatterRows::eval_add(std::span<const ConstView> x, View y) const {
  visit_real(y.dtype, [&]<class T>() {
    const Index cols = y.cols();
    const T* from = x[0].as<T>();
    for (std::int32_t i : detail::checked_indices(x[1], rows)) {
      T* to = y.row<T>(i);
      for (Index c = 0; c < cols; ++c) to[c] += from[c];
      from += cols;
    }
  });
}
void ScatterRows::vjp(Vjp& g) const { g.add(0, record(Lookup{}, {g.dy(), g.x(1)})); }
std::string ScatterRows::describe() const { return fmt::format("{} rows", rows); }

Shape Pick::infer(std::span<const Shape> in) const {
  detail::check_one_index_a_row(in[0], in[1]);
  return in[1];
}
void Pick::eval(std::span<const ConstView> x, View y) const {
  visit_real(y.dtype, [&]<class T>() {
    T* to = y.as<T>();
    Index row = 0;
    for (std::int32_t i : detail::checked_indices(x[1], x[0].cols())) *to++ = x[0].row<T>(row++)[i];
  });
}
void Pick::vjp(Vjp& g) const { g.add(0, record(Place{g.x(0).shape().cols()}, {g.dy(), g.x(1)})); }

Shape Place::infer(std::span<const Shape> in) const {
  if (in[0] != in[1]) throw Error(fmt::format("needs one index for each: {} and {}", in[0].str(), in[1].str()));
  return with_last(in[1], classes);
}
void Place::eval(std::span<const ConstView> x, View y) const {
  set_zero(y);
  eval_add(x, y);
}
void Place::eval_add(std::span<const ConstView> x, View y) const {
  visit_real(y.dtype, [&]<class T>() {
    const T* from = x[0].as<T>();
    Index row = 0;
    for (std::int32_t i : detail::checked_indices(x[1], classes)) y.row<T>(row++)[i] += *from++;
  });
}
void Place::vjp(Vjp& g) const { g.add(0, record(Pick{}, {g.dy(), g.x(1)})); }
std::string Place::describe() const { return fmt::format("{} classes", classes); }

Shape OneHot::infer(std::span<const Shape> in) const { return with_last(in[0], classes); }
void OneHot::eval(std::span<const ConstView> x, View y) const {
  set_zero(y);
  visit_real(y.dtype, [&]<class T>() {
    Index row = 0;
    for (std::int32_t i : detail::checked_indices(x[0], classes)) y.row<T>(row++)[i] = T(1);
  });
}
std::string OneHot::describe() const { return fmt::format("{} classes", classes); }

}  // namespace rw
