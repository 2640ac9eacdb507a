#include <sstream>
#include <type_traits>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/shape.h>

using rw::broadcast;
using rw::broadcasts_to;
using rw::Index;
using rw::Shape;

static_assert(std::is_trivially_copyable_v<Shape>);
static_assert(std::has_unique_object_representations_v<Shape>);  // compared by its bytes as an op's attribute

TEST_CASE("a shape knows its lengths") {
  const Shape s{2, 3, 4};
  CHECK(s.rank() == 3);
  CHECK(s[0] == 2);
  CHECK(s[2] == 4);
  CHECK(s.size() == 24);
  CHECK(s.rows() == 6);
  CHECK(s.cols() == 4);
  CHECK(s.str() == "(2, 3, 4)");
  std::ostringstream out;
  out << s;
  CHECK(out.str() == "(2, 3, 4)");
}

TEST_CASE("a scalar has one element, in one row of one column") {
  const Shape s;
  CHECK(s.rank() == 0);
  CHECK(s.size() == 1);
  CHECK(s.rows() == 1);
  CHECK(s.cols() == 1);
  CHECK(s.str() == "()");
  CHECK(s == Shape{});
  CHECK(s != Shape{1});
}

TEST_CASE("a shape with an axis of length 0 has no elements") {
  CHECK(Shape{0}.size() == 0);
  CHECK(Shape{3, 0}.size() == 0);
  CHECK(Shape{3, 0}.rows() == 3);
  CHECK(Shape{0, 3}.rows() == 0);
  CHECK(Shape{0, 3}.cols() == 3);
}

TEST_CASE("rank and lengths count in equality") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{0} != Shape{});
}

TEST_CASE("limits of shapes are errors that show the lengths") {
  CHECK_THROWS_WITH_AS((Shape{1, 2, 3, 4, 5, 6, 7}), "a shape has at most 6 axes, not 7: (1, 2, 3, 4, 5, 6, 7)",
                       rw::Error);
  CHECK_THROWS_WITH_AS((Shape{2, -1}), "a length may not be negative: (2, -1)", rw::Error);
  CHECK_THROWS_WITH_AS((Shape{Index{1} << 30, Index{1} << 30}),
                       "a shape too large to address: (1073741824, 1073741824)", rw::Error);
  CHECK_THROWS_WITH_AS((Shape{3, Index{1} << 32}), "a length must be from 0 to 2147483647, not 4294967296", rw::Error);
  CHECK(Shape{2147483647}.size() == 2147483647);
  CHECK_THROWS_AS((Shape{INT64_MAX}), rw::Error);
  CHECK_THROWS_AS((Shape{INT64_MAX, INT64_MAX, INT64_MAX}), rw::Error);
  CHECK_NOTHROW((Shape{1, 2, 3, 4, 5, 6}));
}

TEST_CASE("no shape that can be derived from another overflows") {
  const Index big = Index{1} << 30;
  // An axis of length 0 does not hide the others: they come back when it is taken away or stretched.
  CHECK_THROWS_AS((Shape{0, big, big}), rw::Error);
  CHECK_THROWS_AS((Shape{big, big, 0}), rw::Error);
  CHECK_NOTHROW((Shape{0, big}));
  CHECK_THROWS_AS((Shape{0, big}).with(0, big), rw::Error);
  CHECK_THROWS_AS((Shape{2, 3}).with(1, -1), rw::Error);
  CHECK_THROWS_AS((Shape{big}).inserted(0, big), rw::Error);
  CHECK_THROWS_AS((Shape{big}).inserted(1, -2), rw::Error);
  CHECK_THROWS_AS((Shape{2}).with(0, Index{1} << 32), rw::Error);
  CHECK_THROWS_AS(broadcast(Shape{big, 1}, Shape{1, big}), rw::Error);
}

TEST_CASE("axis counts from the end when negative") {
  const Shape s{2, 3, 4};
  CHECK(s.axis(0) == 0);
  CHECK(s.axis(2) == 2);
  CHECK(s.axis(-1) == 2);
  CHECK(s.axis(-3) == 0);
  CHECK_THROWS_WITH_AS(s.axis(3), "no axis 3 in shape (2, 3, 4)", rw::Error);
  CHECK_THROWS_WITH_AS(s.axis(-4), "no axis -4 in shape (2, 3, 4)", rw::Error);
  CHECK_THROWS_WITH_AS(Shape{}.axis(0), "no axis 0 in shape ()", rw::Error);
}

TEST_CASE("with, without and inserted change one axis") {
  const Shape s{2, 3, 4};
  CHECK(s.with(1, 7) == Shape{2, 7, 4});
  CHECK(s.without(0) == Shape{3, 4});
  CHECK(s.without(2) == Shape{2, 3});
  CHECK(Shape{5}.without(0) == Shape{});
  CHECK(s.inserted(0, 9) == Shape{9, 2, 3, 4});
  CHECK(s.inserted(3, 9) == Shape{2, 3, 4, 9});
  CHECK(Shape{}.inserted(0, 2) == Shape{2});
  CHECK(s == Shape{2, 3, 4});
  CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1}).inserted(0, 1),
                       "(1, 1, 1, 1, 1, 1) already has 6 axes, the most there can be", rw::Error);
}

TEST_CASE("broadcast follows NumPy") {
  CHECK(broadcast(Shape{}, Shape{2, 3}) == Shape{2, 3});
  CHECK(broadcast(Shape{2, 3}, Shape{3}) == Shape{2, 3});
  CHECK(broadcast(Shape{2, 1}, Shape{1, 3}) == Shape{2, 3});
  CHECK(broadcast(Shape{4, 1, 3}, Shape{2, 1}) == Shape{4, 2, 3});
  CHECK(broadcast(Shape{1}, Shape{0}) == Shape{0});
  CHECK(broadcast(Shape{0, 1}, Shape{3}) == Shape{0, 3});
  CHECK_THROWS_WITH_AS(
      broadcast(Shape{2, 3}, Shape{2}),
      "shapes do not broadcast: (2, 3) and (2) (axes are aligned at the last; each pair must be equal or 1)",
      rw::Error);
  CHECK_THROWS_AS(broadcast(Shape{0}, Shape{2}), rw::Error);
}

TEST_CASE("broadcasts_to is one-sided") {
  CHECK(broadcasts_to(Shape{}, Shape{2, 3}));
  CHECK(broadcasts_to(Shape{1, 3}, Shape{2, 3}));
  CHECK(broadcasts_to(Shape{2, 3}, Shape{2, 3}));
  CHECK(broadcasts_to(Shape{1}, Shape{0}));
  CHECK_FALSE(broadcasts_to(Shape{2, 3}, Shape{3}));
  CHECK_FALSE(broadcasts_to(Shape{2, 3}, Shape{1, 3}));
  CHECK_FALSE(broadcasts_to(Shape{0}, Shape{1}));
}
