#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include <doctest/doctest.h>

#include <rewind/core/array.h>

using rw::Array;
using rw::ConstView;
using rw::DType;
using rw::Index;
using rw::Shape;
using rw::View;

namespace {

std::string text(const Array& a) {
  std::ostringstream out;
  out << a;
  return out.str();
}

}  // namespace

TEST_CASE("arrays start as zeros, aligned to a cache line") {
  for (DType t : {DType::f32, DType::f64, DType::i32}) {
    const Array a(Shape{3, 5}, t);
    CHECK(a.dtype() == t);
    CHECK(a.to_vector<double>() == std::vector<double>(15, 0.0));
    CHECK(reinterpret_cast<std::uintptr_t>(a.view().data) % 64 == 0);
  }
  CHECK(Array().shape() == Shape{});
  CHECK(Array().item() == 0);
  CHECK(rw::zeros(2, 3) == Array(Shape{2, 3}));
  CHECK(rw::zeros(Shape{2}, DType::i32).dtype() == DType::i32);
}

TEST_CASE("arrays are made from vectors, spans and lists, and copied back") {
  const std::vector<float> v{1, 2, 3, 4, 5, 6};
  CHECK(Array(v).shape() == Shape{6});
  CHECK(Array(v, Shape{2, 3}).at({1, 0}) == 4);
  CHECK(Array(std::span<const float>(v), Shape{3, 2}).at({1, 0}) == 3);
  CHECK(Array({1.5, 2.5}, Shape{2}).dtype() == DType::f64);
  CHECK(Array({7, 8}, Shape{2}).dtype() == DType::i32);
  CHECK(Array(v).to_vector<float>() == v);
  CHECK(Array(v).to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(Array(std::vector<float>{}).shape() == Shape{0});
  CHECK_THROWS_WITH_AS(Array(v, Shape{2, 2}), "an array of shape (2, 2) takes 4 values, not 6", rw::Error);
  const Array mixed({1., -1, 2.5f}, {3});
  CHECK(mixed.dtype() == DType::f64);
  CHECK(mixed == Array({1., -1., 2.5}, {3}));
  CHECK(Array({1, 2}, {2}).dtype() == DType::i32);
  CHECK(Array({1.f, 2.f}, {2}).dtype() == DType::f32);
}

TEST_CASE("a copy is deep, a move leaves an empty array behind") {
  Array a({1.0f, 2.0f}, Shape{2});
  Array copy = a;
  copy.span<float>()[0] = 9;
  CHECK(a.at({0}) == 1);
  copy = a;
  CHECK(copy == a);
  copy = *&copy;
  CHECK(copy == a);

  Array moved = std::move(a);
  CHECK(moved.at({1}) == 2);
  CHECK(a.size() == 0);  // NOLINT: what is left is defined
  CHECK(a.to_vector<float>().empty());
  CHECK(Array(a).size() == 0);
  a = std::move(moved);
  CHECK(a.at({1}) == 2);
  CHECK(moved.size() == 0);
}

TEST_CASE("span asks for the right type") {
  Array a(Shape{2}, DType::f64);
  CHECK(a.span<double>().size() == 2);
  CHECK_THROWS_WITH_AS(a.span<float>(), "the array is f64, not f32: convert it with to(DType::f32)", rw::Error);
  CHECK_THROWS_AS(std::as_const(a).span<std::int32_t>(), rw::Error);
}

TEST_CASE("item and at say what they need") {
  CHECK(Array({3.5}, Shape{1, 1}).item() == 3.5);
  CHECK_THROWS_WITH_AS(rw::zeros(2, 2).item(), "item() needs exactly one element; the shape is (2, 2)", rw::Error);
  CHECK_THROWS_AS(rw::zeros(0).item(), rw::Error);
  const Array a = rw::arange(6).reshaped(Shape{2, 3});
  CHECK(a.at({1, 2}) == 5);
  Array b = a;
  b.set({1, 2}, 7);
  CHECK(b.at({1, 2}) == 7);
  CHECK(b.at({1, 1}) == a.at({1, 1}));
  CHECK_THROWS_AS(b.set({2, 0}, 1), rw::Error);
  Array whole(Shape{2}, rw::DType::i32);
  whole.set({1}, 3);
  CHECK(whole.at({1}) == 3);
  CHECK_THROWS_AS(whole.set({0}, 1e10), rw::Error);
  CHECK_THROWS_WITH_AS(a.at({1}), "an element of shape (2, 3) has 2 positions, not 1", rw::Error);
  CHECK_THROWS_WITH_AS(a.at({0, 3}), "position 3 is outside axis 1 of shape (2, 3)", rw::Error);
  CHECK_THROWS_WITH_AS(a.at({-1, 0}), "position -1 is outside axis 0 of shape (2, 3)", rw::Error);
}

TEST_CASE("conversions between element types") {
  const Array f({1.75f, -1.75f, 16777216.0f}, Shape{3});
  CHECK(f.to(DType::f64).to_vector<double>() == std::vector<double>{1.75, -1.75, 16777216});
  CHECK(f.to(DType::i32).to_vector<std::int32_t>() == std::vector<std::int32_t>{1, -1, 16777216});
  CHECK(rw::arange(3).to(DType::f32).to_vector<float>() == std::vector<float>{0, 1, 2});
  CHECK(Array({0.1}, Shape{1}).to(DType::f32).at({0}) == static_cast<double>(0.1f));
}

TEST_CASE("what has no index is not made one") {
  const double inf = std::numeric_limits<double>::infinity();
  for (double bad : {std::nan(""), inf, -inf, 2147483648.0, -2147483649.0, 1e300}) {
    CHECK_THROWS_WITH_AS(Array({0.0, bad}, Shape{2}).to(DType::i32), doctest::Contains("does not fit i32"), rw::Error);
    CHECK_THROWS_AS(rw::full(Shape{1}, bad, DType::i32), rw::Error);
  }
  CHECK(Array({2147483647.0, -2147483648.0}, Shape{2}).to(DType::i32).to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{2147483647, -2147483647 - 1});
  CHECK_THROWS_AS(Array({2147483648.0f}, Shape{1}).to(DType::i32), rw::Error);
}

TEST_CASE("reshaped keeps the elements and their number") {
  const Array a = rw::arange(6);
  CHECK(a.reshaped(Shape{3, 2}).at({2, 1}) == 5);
  CHECK_THROWS_WITH_AS(a.reshaped(Shape{4}), "reshaped: sizes differ: (6) to (4)", rw::Error);
}

TEST_CASE("equality is of shape, type and numbers") {
  CHECK(Array({0.0f}, Shape{1}) == Array({-0.0f}, Shape{1}));
  CHECK_FALSE(Array({std::nanf("")}, Shape{1}) == Array({std::nanf("")}, Shape{1}));
  CHECK_FALSE(Array({1.0f}, Shape{1}) == Array({1.0}, Shape{1}));
  CHECK_FALSE(Array({1.0f}, Shape{1}) == Array({1.0f}, Shape{}));
  CHECK(rw::zeros(0, 3) == rw::zeros(0, 3));
  CHECK_FALSE(rw::zeros(0, 3) == rw::zeros(3, 0));
}

TEST_CASE("arrays print as NumPy prints them") {
  CHECK(text(rw::full(Shape{}, 2.5)) == "2.5");
  CHECK(text(Array({1.0f, 0.1f, -3.25f}, Shape{3})) == "[1, 0.1, -3.25]");
  CHECK(text(rw::arange(6).reshaped(Shape{2, 3})) == "[[0, 1, 2],\n [3, 4, 5]]");
  CHECK(text(rw::arange(4).reshaped(Shape{2, 1, 2})) == "[[[0, 1]],\n [[2, 3]]]");
  CHECK(text(rw::arange(8)) == "[0, 1, 2, 3, 4, 5, 6, 7]");
  CHECK(text(rw::arange(9)) == "[0, 1, 2, ..., 6, 7, 8]");
  CHECK(text(rw::arange(9).reshaped(Shape{9, 1})) == "[[0],\n [1],\n [2],\n ...,\n [6],\n [7],\n [8]]");
  CHECK(text(rw::zeros(0)) == "[]");
  CHECK(text(rw::zeros(2, 0)) == "[[],\n []]");
  CHECK(text(rw::zeros(0, 2)) == "[]");
  CHECK(text(Array({1e-10, 123456789.0, 1.0 / 3}, Shape{3})) == "[1e-10, 1.23457e+08, 0.333333]");
  CHECK(text(Array({-std::nan(""), -std::numeric_limits<double>::infinity()}, Shape{2})) == "[nan, -inf]");
}

TEST_CASE("indices print in full") {
  CHECK(text(Array({123456789, -2147483647 - 1}, Shape{2})) == "[123456789, -2147483648]");
}

TEST_CASE("copy converts, and takes rows that are apart") {
  const std::vector<float> wide{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const ConstView part{wide.data() + 1, Shape{3, 2}, 4, DType::f32};  // the middle columns of [3, 4]
  CHECK(Array(part).to_vector<float>() == std::vector<float>{1, 2, 5, 6, 9, 10});
  std::vector<double> target(12, -1.0);
  rw::copy(part, View{target.data() + 2, Shape{3, 2}, 4, DType::f64});
  CHECK(target == std::vector<double>{-1, -1, 1, 2, -1, -1, 5, 6, -1, -1, 9, 10});
  Array four(Shape{4}), turned(Shape{2, 3});
  CHECK_THROWS_WITH_AS(rw::copy(part, four.view()), "copy: sizes differ: (3, 2) to (4)", rw::Error);
  CHECK_THROWS_WITH_AS(rw::copy(part, turned.view()), "copy: rows differ: (3, 2) to (2, 3)", rw::Error);
  CHECK(to_string(part) == "[[1, 2],\n [5, 6],\n [9, 10]]");
}

TEST_CASE("a view is contiguous when nothing lies between its rows") {
  const Array a(Shape{3, 4});
  CHECK(a.view().contiguous());
  CHECK_FALSE(ConstView{a.view().data, Shape{3, 2}, 4, DType::f32}.contiguous());
  CHECK(ConstView{a.view().data, Shape{1, 2}, 4, DType::f32}.contiguous());
  const Array scalar = rw::zeros(Shape{});
  CHECK(scalar.view().contiguous());
}
