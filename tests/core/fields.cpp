#include <array>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/fields.h>
#include <rewind/core/shape.h>

namespace {

struct None {};
struct One {
  int a;
};
struct Inner {
  int x, y;
};
struct Mixed {
  double a;
  Inner inner;
  std::vector<int> list;
  std::string name;
  std::array<int, 2> pair;
  rw::Shape shape;
  std::optional<int> maybe;
  bool flag;
};
struct Two {
  int a = 1;
  float b = 2;
};
struct Three {
  int a, b, c;
};
struct Four {
  int a, b, c, d;
};
struct Five {
  int a, b, c, d, e;
};
struct Six {
  int a, b, c, d, e, f;
};
struct Seven {
  int a, b, c, d, e, f, g;
};
struct Eight {
  int a, b, c, d, e, f, g, h;
};

template <class T>
constexpr std::size_t count = std::tuple_size_v<decltype(rw::fields(std::declval<T&>()))>;

static_assert(count<None> == 0);
static_assert(count<One> == 1);
static_assert(count<Two> == 2);
static_assert(count<Three> == 3);
static_assert(count<Four> == 4);
static_assert(count<Five> == 5);
static_assert(count<Six> == 6);
static_assert(count<Seven> == 7);
static_assert(count<Eight> == 8);
static_assert(count<Mixed> == 8);  // a nested struct, an array and a vector are one field each

}  // namespace

TEST_CASE("fields are references, in the order of the struct") {
  Eight e{1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<int*> seen;
  std::apply([&](auto&... f) { (seen.push_back(&f), ...); }, rw::fields(e));
  CHECK(seen == std::vector<int*>{&e.a, &e.b, &e.c, &e.d, &e.e, &e.f, &e.g, &e.h});
  std::get<7>(rw::fields(e)) = 80;
  CHECK(e.h == 80);
}

TEST_CASE("fields of a const struct are const") {
  const Two t;
  static_assert(std::is_same_v<decltype(rw::fields(t)), std::tuple<const int&, const float&>>);
  CHECK(std::get<0>(rw::fields(t)) == 1);
}

TEST_CASE("fields of any type keep it") {
  Mixed m{1.5, {2, 3}, {4}, "five", {6, 7}, rw::Shape{8}, 9, true};
  static_assert(std::is_same_v<decltype(std::get<1>(rw::fields(m))), Inner&>);
  CHECK(std::get<1>(rw::fields(m)).y == 3);
  CHECK(std::get<3>(rw::fields(m)) == "five");
  CHECK(std::get<5>(rw::fields(m)) == rw::Shape{8});
  CHECK(std::get<0>(rw::fields(m.pair)) == 6);  // arrays have fields too
}
