#include <cstdint>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// y of `shape` with y[p] = x[from(p)], where p counts positions along the axes.
Array gather(const Array& x, const Shape& shape, const std::function<std::vector<Index>(std::vector<Index>)>& from) {
  Array y(shape, DType::f64);
  for (Index i = 0; i < shape.size(); ++i) {
    std::vector<Index> p(at(shape.rank()));
    Index rest = i, flat = 0;
    for (int a = shape.rank() - 1; a >= 0; --a) {
      p[at(a)] = rest % shape[a];
      rest /= shape[a];
    }
    const std::vector<Index> q = from(p);
    for (int a = 0; a < x.shape().rank(); ++a) flat = flat * x.shape()[a] + q[at(a)];
    y.span<double>()[at(i)] = x.span<double>()[at(flat)];
  }
  return y;
}

Array joined(const Array& a, const Array& b, int axis) {
  const Index cut = a.shape()[axis];
  const Shape whole = a.shape().with(axis, cut + b.shape()[axis]);
  Array y(whole, DType::f64);
  Index outer = 1, inner = 1;
  for (int i = 0; i < whole.rank(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : whole[i];
  const auto put = [&](const Array& from, Index start) {
    const Index length = from.shape()[axis] * inner;
    for (Index o = 0; o < outer; ++o)
      for (Index i = 0; i < length; ++i)
        y.span<double>()[at(o * whole[axis] * inner + start * inner + i)] = from.span<double>()[at(o * length + i)];
  };
  put(a, 0);
  put(b, cut);
  return y;
}

using Position = std::vector<Index>;

}  // namespace

TEST_CASE("swap_axes") {
  CHECK(check_op(
      "swap_axes", [](Tensor x) { return swap_axes(x, 0, -1); },
      [](const Array& x) {
        const Shape shape = x.shape().with(0, x.shape()[2]).with(2, x.shape()[0]);
        return gather(x, shape, [](const std::vector<Index>& p) { return std::vector<Index>{p[2], p[1], p[0]}; });
      },
      {.shapes = {{{2, 3, 4}}, {{1, 2, 3}}, {{0, 2, 3}}}, .bad = {{{}}}}));
  Tape tape;
  const Tensor x = tape.constant(1, Shape{2, 3});
  CHECK(swap_axes(x, 1, -1).same(x));
}

TEST_CASE("reshape") {
  CHECK(check_op(
      "reshape",
      [](Tensor x) {
        return reshape(x, {3, -1});
      },
      [](const Array& x) {
        return x.reshaped(Shape{3, x.size() / 3});
      },
      {.shapes = {{{2, 3}}, {{3}}, {{2, 0, 3}}, {{1, 6, 1}}}, .bad = {{{2, 2}}, {{}}}}));
  Tape tape;
  const Tensor x = tape.constant(0, Shape{2, 6});
  CHECK(reshape(x, {-1}).shape() == Shape{12});
  CHECK(reshape(x, {4, 3}).shape() == Shape{4, 3});
  CHECK(reshape(x, x.shape()).value().data == x.value().data);
  CHECK_THROWS_WITH_AS(reshape(x, {-1, 5}), "[reshape] cannot infer the -1 of (-1, 5) from (2, 6)", Error);
  CHECK_THROWS_AS(reshape(x, {-1, -1}), Error);
  CHECK_THROWS_AS(reshape(x, {-2, -6}), Error);
  CHECK_THROWS_AS(reshape(x, {-1, 0}), Error);
}

TEST_CASE("transpose and permute") {
  CHECK(check_op(
      "transpose", [](Tensor x) { return transpose(x); },
      [](const Array& x) {
        const int r = x.shape().rank();
        const Shape to = x.shape().with(r - 1, x.shape()[r - 2]).with(r - 2, x.shape()[r - 1]);
        return gather(x, to, [&](Position p) { return std::swap(p[at(r - 1)], p[at(r - 2)]), p; });
      },
      {.shapes = {{{2, 3}}, {{1, 4}}, {{0, 3}}, {{2, 3, 2}}, {{19, 18}}}, .bad = {{{3}}, {{}}}}));
  CHECK(check_op(
      "permute",
      [](Tensor x) {
        return permute(x, {2, 0, -2});
      },
      [](const Array& x) {
        const Shape s = x.shape();
        return gather(x, Shape{s[2], s[0], s[1]}, [](Position p) { return Position{p[1], p[2], p[0]}; });
      },
      {.shapes = {{{2, 3, 4}}, {{1, 3, 1}}, {{2, 0, 3}}}, .bad = {{{2, 3}}, {{2, 3, 1, 2}}}}));
  CHECK(check_op(
      "permute, rows stay",
      [](Tensor x) {
        return permute(x, {1, 0, 2});
      },
      [](const Array& x) {
        const Shape s = x.shape();
        return gather(x, Shape{s[1], s[0], s[2]}, [](Position p) { return Position{p[1], p[0], p[2]}; });
      },
      {.shapes = {{{2, 3, 4}}}}));
  Tape tape;
  const Tensor x = tape.constant(0, Shape{2, 3});
  CHECK_THROWS_WITH_AS(permute(x, {0, 0}), "[permute] (0, 0) does not name every axis of (2, 3) once", Error);
  CHECK_THROWS_AS(permute(x, {0, 2}), Error);
  CHECK(permute(tape.constant(1), {}).item() == 1);
}

TEST_CASE("slice and select") {
  CHECK(check_op(
      "slice", [](Tensor x) { return slice(x, 1, 1, 2); },
      [](const Array& x) { return gather(x, x.shape().with(1, 2), [](Position p) { return ++p[1], p; }); },
      {.shapes = {{{2, 3}}, {{2, 4, 3}}, {{1, 3, 1}}, {{0, 3}}, {{2, 3, 0}}}, .bad = {{{2, 2}}, {{5}}}}));
  CHECK(check_op(
      "slice of the first axis", [](Tensor x) { return slice(x, -2, 1, 1); },
      [](const Array& x) { return gather(x, x.shape().with(0, 1), [](Position p) { return ++p[0], p; }); },
      {.shapes = {{{3, 2}}, {{2, 1}}}}));
  CHECK(check_op(
      "select", [](Tensor x) { return select(x, -2, -1); },
      [](const Array& x) {
        const int r = x.shape().rank();
        return gather(x, x.shape().without(r - 2), [&](Position p) {
          p.insert(p.end() - 1, x.shape()[r - 2] - 1);
          return p;
        });
      },
      {.shapes = {{{2, 3}}, {{2, 3, 2}}, {{1, 1}}, {{2, 0}}}, .bad = {{{0, 2}}, {{3}}}}));
  Tape tape;
  const Tensor x = tape.constant(arange(6).reshaped(Shape{2, 3}));
  CHECK(x.dtype() == DType::i32);
  CHECK(slice(x, 1, 0, 0).shape() == Shape{2, 0});
  CHECK(select(x, 0, 1).array() == Array(std::vector<std::int32_t>{3, 4, 5}));
  CHECK(select(x, 1, -3).array() == Array(std::vector<std::int32_t>{0, 3}));
  CHECK_THROWS_WITH_AS(select(x, 1, 3), "[select] no position 3 on axis 1 of (2, 3)", Error);
  CHECK_THROWS_AS(slice(x, 1, -1, 1), Error);
  CHECK_THROWS_AS(slice(x, 1, 2, 2), Error);
  CHECK_THROWS_AS(slice(x, 2, 0, 1), Error);
}

TEST_CASE("split") {
  const auto second_by_first = [](const Array& x) {
    const Index half = x.shape().cols() / 2;
    Array y(x.shape().with(x.shape().rank() - 1, half), DType::f64);
    for (Index i = 0; i < y.size(); ++i) {
      const Index row = i / std::max<Index>(half, 1), col = i % std::max<Index>(half, 1);
      const auto e = [&](Index c) { return x.span<double>()[at(row * 2 * half + c)]; };
      y.span<double>()[at(i)] = e(half + col) * e(col) - e(col);
    }
    return y;
  };
  const OpCheck check{.shapes = {{{2, 6}}, {{4}}, {{2, 1, 2}}, {{0, 2}}, {{3, 0}}}, .bad = {{{2, 3}}, {{}}}};
  CHECK(check_op(
      "split",
      [](Tensor x) {
        auto [a, b] = split<2>(x);
        return b * a - a;
      },
      second_by_first, check));
  CHECK(check_op(
      "split into pieces",
      [](Tensor x) {
        const auto p = split(x, 2);
        return p[1] * p[0] - p[0];
      },
      second_by_first, check));
  CHECK(check_op(
      "split by lengths",
      [](Tensor x) {
        const auto p = split(x, {1, 2, 1});
        return p[1] * p[0] - p[2];
      },
      [](const Array& x) {
        Array y(x.shape().with(x.shape().rank() - 1, 2), DType::f64);
        const auto e = x.span<double>();
        for (Index i = 0; i < y.size(); ++i)
          y.span<double>()[at(i)] = e[at(i / 2 * 4 + 1 + i % 2)] * e[at(i / 2 * 4)] - e[at(i / 2 * 4 + 3)];
        return y;
      },
      {.shapes = {{{3, 4}}, {{4}}, {{0, 4}}}, .bad = {{{2, 3}}}}));
  Tape tape;
  const Tensor x = tape.constant(0, Shape{2, 6});
  const auto [i, f, g] = split<3>(x);
  CHECK(g.shape() == Shape{2, 2});
  CHECK(split(x, 2, 0)[1].shape() == Shape{1, 6});
  CHECK_THROWS_WITH_AS(split<4>(x), "[split] axis 1 of (2, 6) does not divide into 4", Error);
  CHECK_THROWS_WITH_AS(split(x, {2, 3}), "[split] pieces of 2, 3 do not add up to axis 1 of (2, 6)", Error);
  CHECK_THROWS_AS(split(x, {7, -1}), Error);
  CHECK_THROWS_AS(split(x, 0), Error);
}

TEST_CASE("concat and stack") {
  CHECK(check_op(
      "concat",
      [](Tensor a, Tensor b) {
        return concat({a, b}, 1);
      },
      [](const Array& a, const Array& b) { return joined(a, b, 1); },
      {.shapes = {{{2, 3}, {2, 1}}, {{2, 0}, {2, 2}}, {{0, 3}, {0, 2}}, {{2, 1, 3}, {2, 2, 3}}},
       .bad = {{{2, 3}, {3, 3}}, {{2, 3}, {2, 3, 1}}, {{2}, {2}}}}));
  CHECK(check_op(
      "concat rows",
      [](Tensor a, Tensor b) {
        return concat(std::vector<Tensor>{a, b}, -2);
      },
      [](const Array& a, const Array& b) { return joined(a, b, 0); },
      {.shapes = {{{2, 3}, {1, 3}}}, .bad = {{{2, 3}, {2, 4}}}}));
  CHECK(check_op(
      "stack",
      [](Tensor a, Tensor b) {
        return stack({a, b}, -1);
      },
      [](const Array& a, const Array& b) {
        const int r = a.shape().rank();
        return joined(a.reshaped(a.shape().inserted(r, 1)), b.reshaped(a.shape().inserted(r, 1)), r);
      },
      {.shapes = {{{2, 3}, {2, 3}}, {{}, {}}, {{0, 2}, {0, 2}}}, .bad = {{{2, 3}, {2, 1}}}}));
  Tape tape;
  const Tensor x = tape.constant(0, Shape{2, 3});
  CHECK(stack({x, x, x}).shape() == Shape{3, 2, 3});
  CHECK(stack(std::vector<Tensor>{x, x}, 1).shape() == Shape{2, 2, 3});
  Parameter p("p", Array(Shape{1, 3}));
  CHECK(concat({p, x}).shape() == Shape{3, 3});
  CHECK_THROWS_AS(stack({x}, 3), Error);
  CHECK_THROWS_AS(stack({}), Error);
  CHECK_THROWS_AS(concat({}), Error);
  CHECK_THROWS_AS(concat({p, p}), Error);
  CHECK_THROWS_AS(concat({x, tape.constant(arange(6).reshaped(Shape{2, 3}))}), Error);
}

TEST_CASE("broadcast_to") {
  CHECK(check_op(
      "broadcast_to",
      [](Tensor x) {
        return broadcast_to(x, Shape{2, 3, 2});
      },
      [](const Array& x) {
        const Array parts[] = {x, Array(Shape{2, 3, 2}, DType::f64)};
        return broadcast_reference(parts, [](std::span<const double> e) { return e[0]; });
      },
      {.shapes = {{{3, 2}}, {{2, 1, 1}}, {{}}, {{1, 2}}, {{2, 3, 2}}}, .bad = {{{4, 2}}, {{2, 2, 3, 2}}, {{0}}}}));
}

TEST_CASE("flip") {
  CHECK(check_op(
      "flip", [](Tensor x) { return flip(x, -2); },
      [](const Array& x) {
        const int a = x.shape().rank() - 2;
        return gather(x, x.shape(), [&](Position p) { return p[at(a)] = x.shape()[a] - 1 - p[at(a)], p; });
      },
      {.shapes = {{{3, 2}}, {{2, 3, 2}}, {{1, 1}}, {{0, 2}}, {{2, 0}}}, .bad = {{{3}}, {{}}}}));
  Tape tape;
  CHECK(flip(tape.constant(arange(3))).array() == Array(std::vector<std::int32_t>{2, 1, 0}));
}

TEST_CASE("views copy nothing") {
  Tape tape;
  const Tensor x = tape.constant(Array(Shape{4, 6}));
  const auto start = static_cast<const float*>(x.value().data);
  CHECK(split<2>(x)[1].value().data == start + 3);
  CHECK(slice(x, 0, 2, 1).value().data == start + 12);
  CHECK(select(x, 0, 3).value().data == start + 18);
}
