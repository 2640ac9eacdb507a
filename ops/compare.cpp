#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>

namespace rw {
namespace {

struct Equal {
  static constexpr std::string_view name = "equal";
  template <class T>
  T f(T a, T b) const {
    return where(a == b, T(1), T(0));
  }
};

struct NotEqual {
  static constexpr std::string_view name = "not_equal";
  template <class T>
  T f(T a, T b) const {
    return where(a != b, T(1), T(0));
  }
};

struct Less {
  static constexpr std::string_view name = "less";
  template <class T>
  T f(T a, T b) const {
    return where(a < b, T(1), T(0));
  }
};

struct LessEqual {
  static constexpr std::string_view name = "less_equal";
  template <class T>
  T f(T a, T b) const {
    return where(a <= b, T(1), T(0));
  }
};

struct Greater {
  static constexpr std::string_view name = "greater";
  template <class T>
  T f(T a, T b) const {
    return where(a > b, T(1), T(0));
  }
};

struct GreaterEqual {
  static constexpr std::string_view name = "greater_equal";
  template <class T>
  T f(T a, T b) const {
    return where(a >= b, T(1), T(0));
  }
};

struct LogicalAnd {
  static constexpr std::string_view name = "logical_and";
  template <class T>
  T f(T a, T b) const {
    return where((a != 0) & (b != 0), T(1), T(0));
  }
};

struct LogicalOr {
  static constexpr std::string_view name = "logical_or";
  template <class T>
  T f(T a, T b) const {
    return where((a != 0) | (b != 0), T(1), T(0));
  }
};

struct LogicalXor {
  static constexpr std::string_view name = "logical_xor";
  template <class T>
  T f(T a, T b) const {
    return where((a != 0) != (b != 0), T(1), T(0));
  }
};

struct LogicalNot {
  static constexpr std::string_view name = "logical_not";
  template <class T>
  T f(T x) const {
    return where(x == 0, T(1), T(0));
  }
};

struct Where {
  static constexpr std::string_view name = "where";
  template <class T>
  T f(T mask, T a, T b) const {
    return where(mask != 0, a, b);
  }
  template <class T>
  T vjp(Arg<1>, T mask, T, T, T, T dy) const {
    return where(chosen(mask), dy, Number<T>(0));
  }
  template <class T>
  T vjp(Arg<2>, T mask, T, T, T, T dy) const {
    return where(chosen(mask), Number<T>(0), dy);
  }

 private:
  static bool chosen(float mask) { return mask != 0; }
  static bool chosen(double mask) { return mask != 0; }
  static Tensor chosen(Tensor mask) { return mask; }
};

}  // namespace

Tensor equal(Operand a, Operand b) { return record(Elementwise<Equal>{}, a, b); }
Tensor not_equal(Operand a, Operand b) { return record(Elementwise<NotEqual>{}, a, b); }
Tensor less(Operand a, Operand b) { return record(Elementwise<Less>{}, a, b); }
Tensor less_equal(Operand a, Operand b) { return record(Elementwise<LessEqual>{}, a, b); }
Tensor greater(Operand a, Operand b) { return record(Elementwise<Greater>{}, {a, b}); }
Tensor greater_equal(Operand a, Operand b) { return record(Elementwise<GreaterEqual>{}, {a, b}); }
Tensor logical_and(Operand a, Operand b) { return record(Elementwise<LogicalAnd>{}, a, b); }
Tensor logical_or(Operand a, Operand b) { return record(Elementwise<LogicalOr>{}, a, b); }
Tensor logical_xor(Operand a, Operand b) { return record(Elementwise<LogicalXor>{}, a, b); }
Tensor logical_not(Operand x) { return record(Elementwise<LogicalNot>{}, x); }
Tensor where(Operand mask, Operand a, Operand b) { return record(Elementwise<Where>{}, mask, a, b); }

}  // namespace rw
