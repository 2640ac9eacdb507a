#include <array>
#include <cstring>
#include <limits>
#include <new>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/elementwise.h>

#include "support.h"

using namespace rw;

namespace {

template <bool strided>
struct ScaleOp {
  static constexpr std::string_view name = "scale";
  static constexpr bool strided_inputs = strided;
  double factor = 1;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};
using Scale = ScaleOp<false>;
using StridedScale = ScaleOp<true>;

struct Padded {
  static constexpr std::string_view name = "padded";
  bool flag = false;  // seven bytes of nothing after it
  double number = 0;
  char letter = 'a';
  std::int32_t count = 0;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};
struct Nested {
  static constexpr std::string_view name = "nested";
  struct Part {
    char letter = 'a';
    float number = 0;
  };
  Part part;
  Shape shape;
  std::array<double, 3> list{};
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};

template <class Op>
bool same(const Op& a, const Op& b) {
  const OpInfo& info = op_info<Op>();
  const bool equal = info.equal(&a, &b);
  if (equal) CHECK(info.hash(&a) == info.hash(&b));
  return equal;
}

// An op in memory that held something else, so that its padding does.
template <class Op>
struct Dirty {
  alignas(Op) unsigned char room[sizeof(Op)];
  const Op& op;
  Dirty(const Op& value, unsigned char dirt) : op(*fill(room, value, dirt)) {}
  static const Op* fill(unsigned char* room, const Op& value, unsigned char dirt) {
    std::memset(room, dirt, sizeof(Op));
    return new (room) Op(value);
  }
};

}  // namespace

TEST_CASE("attributes are equal by the bits of their numbers") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(same(Scale{2}, Scale{2}));
  CHECK_FALSE(same(Scale{2}, Scale{3}));
  CHECK_FALSE(same(Scale{0.0}, Scale{-0.0}));
  CHECK(same(Scale{nan}, Scale{nan}));
  CHECK_FALSE(same(Scale{nan}, Scale{-nan}));
  CHECK(op_info<Scale>().hash(Dirty<Scale>({0.0}, 0).room) != op_info<Scale>().hash(Dirty<Scale>({-0.0}, 0).room));
}

TEST_CASE("padding between attributes does not count") {
  const Padded p{true, 1.5, 'x', 7};
  CHECK(same(Dirty<Padded>(p, 0x00).op, Dirty<Padded>(p, 0xff).op));
  Padded q;
  q.flag = true;
  q.number = 1.5;
  q.letter = 'x';
  q.count = 7;
  CHECK(same(p, q));
  for (const Padded& other :
       {Padded{false, 1.5, 'x', 7}, Padded{true, 2.5, 'x', 7}, Padded{true, 1.5, 'y', 7}, Padded{true, 1.5, 'x', 8}})
    CHECK_FALSE(same(p, other));
}

TEST_CASE("nested attributes count, each field of them") {
  const Nested n{{'b', 2}, Shape{3}, {1, 2, 3}};
  CHECK(same(Dirty<Nested>(n, 0x00).op, Dirty<Nested>(n, 0xff).op));
  CHECK_FALSE(same(n, Nested{{'c', 2}, Shape{3}, {1, 2, 3}}));
  CHECK_FALSE(same(n, Nested{{'b', -2}, Shape{3}, {1, 2, 3}}));
  CHECK_FALSE(same(n, Nested{{'b', 2}, Shape{3, 1}, {1, 2, 3}}));
  CHECK_FALSE(same(n, Nested{{'b', 2}, Shape{3}, {1, 2, -3}}));
}

TEST_CASE("two types of op are never one, even with the same attributes") {
  CHECK(&op_info<Scale>() != &op_info<StridedScale>());
  CHECK(op_info<StridedScale>().strided_inputs);
  CHECK_FALSE(op_info<Scale>().strided_inputs);
}
