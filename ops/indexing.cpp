#include <algorithm>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>
#include <rewind/core/long_sum.h>
#include <rewind/ops/indexing.h>

namespace rw {
namespace {

std::size_t bytes(Index n, DType dtype) { return static_cast<std::size_t>(n) * size_of(dtype); }

void set_zero(View y) { std::memset(y.data, 0, bytes(y.size(), y.dtype)); }

Shape with_last(const Shape& shape, Index length) { return shape.inserted(shape.rank(), length); }

}  // namespace

detail::Indices::Indices(ConstView view, Index bound) : view_(view) {
  for (Index i = 0; i < size(); ++i)
    if (const Index index = (*this)[i]; index < 0 || index >= bound)
      throw Error(fmt::format("index {} at position {} of {} is outside [0, {})", index, i, view.shape.str(), bound));
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
  const detail::Indices indices(x[1], x[0].shape[0]);
  visit_real(y.dtype, [&]<class T>() {
    T* to = y.as<T>();
    for (Index i = 0; i < indices.size(); ++i) to = std::copy_n(x[0].row<T>(indices[i]), y.cols(), to);
  });
}
void Lookup::vjp(Vjp& g) const { g.add(0, record(ScatterRows{g.x(0).shape()[0]}, {g.dy(), g.x(1)})); }
Tensor Lookup::vmap(Vmap& v) const { return v.batched(0) ? v.loop() : record(Lookup{}, {v.x(0), v.x(1)}); }

Shape ScatterRows::infer(std::span<const Shape> in) const {
  detail::check_one_index_a_row(in[0], in[1]);
  return Shape{rows, in[0].cols()};
}
void ScatterRows::eval(std::span<const ConstView> x, View y) const {
  set_zero(y);
  eval_add(x, y);
}
void ScatterRows::eval_add(std::span<const ConstView> x, View y) const {
  const detail::Indices indices(x[1], rows);
  thread_local std::vector<std::uint8_t> terms;  // of the last block of each row's sum
  terms.assign(static_cast<std::size_t>(rows), 0);
  std::unordered_map<Index, LongSum> aside;
  const auto row = [&](Index r) {
    return contiguous_view(static_cast<char*>(y.data) + bytes(r * y.stride, y.dtype), Shape{y.cols()}, y.dtype);
  };
  visit_real(y.dtype, [&]<class T>() {
    for (Index i = 0; i < indices.size(); ++i) {
      const T* from = x[0].as<T>() + i * y.cols();
      T* to = y.row<T>(indices[i]);
      std::uint8_t& count = terms[static_cast<std::size_t>(indices[i])];
      if (count == LongSum::block) {
        aside[indices[i]].set_aside(row(indices[i]));
        std::copy_n(from, y.cols(), to);
        count = 1;
      } else {
        for (Index c = 0; c < y.cols(); ++c) to[c] += from[c];
        ++count;
      }
    }
  });
  for (auto& [r, sum] : aside) sum.add_to(row(r));
}
void ScatterRows::vjp(Vjp& g) const { g.add(0, record(Lookup{}, {g.dy(), g.x(1)})); }
std::string ScatterRows::describe() const { return fmt::format("{} rows", rows); }

Shape Pick::infer(std::span<const Shape> in) const {
  detail::check_one_index_a_row(in[0], in[1]);
  return in[1];
}
void Pick::eval(std::span<const ConstView> x, View y) const {
  const detail::Indices indices(x[1], x[0].cols());
  visit_real(y.dtype, [&]<class T>() {
    for (Index i = 0; i < indices.size(); ++i) y.as<T>()[i] = x[0].row<T>(i)[indices[i]];
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
  const detail::Indices indices(x[1], classes);
  visit_real(y.dtype, [&]<class T>() {
    for (Index i = 0; i < indices.size(); ++i) y.row<T>(i)[indices[i]] += x[0].as<T>()[i];
  });
}
void Place::vjp(Vjp& g) const { g.add(0, record(Pick{}, {g.dy(), g.x(1)})); }
std::string Place::describe() const { return fmt::format("{} classes", classes); }

Shape OneHot::infer(std::span<const Shape> in) const { return with_last(in[0], classes); }
void OneHot::eval(std::span<const ConstView> x, View y) const {
  set_zero(y);
  const detail::Indices indices(x[0], classes);
  visit_real(y.dtype, [&]<class T>() {
    for (Index i = 0; i < indices.size(); ++i) y.row<T>(i)[indices[i]] = T(1);
  });
}
std::string OneHot::describe() const { return fmt::format("{} classes", classes); }

}  // namespace rw
