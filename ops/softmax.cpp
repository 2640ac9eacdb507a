#include <cmath>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/axes.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/rows.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

// The three ops work along the last axis, each row by itself.

struct Softmax {
  static constexpr std::string_view name = "softmax";
  static constexpr int arity = 1;
  static constexpr bool leading_axes = true;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      const Index n = y.cols();
      detail::for_each_row(y.rows(), n, [&](Index r) {
        const T* from = x[0].row<T>(r);
        const double total = detail::row_exp(from, n, y.row<T>(r)).total;
        detail::row_scale<T>(y.row<T>(r), n, static_cast<T>(1 / total), y.row<T>(r));
      });
    });
  }
  void vjp(Vjp& g) const {
    const Tensor dy = g.dy(), y = g.y();
    g.add(0, times0(y, dy - sum(times0(y, dy), -1, true)));
  }
  bool rows_are_independent() const { return true; }
};

struct LogSoftmax {
  static constexpr std::string_view name = "log_softmax";
  static constexpr int arity = 1;
  static constexpr bool leading_axes = true;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      const Index n = y.cols();
      detail::for_each_row(y.rows(), n, [&](Index r) {
        const T* from = x[0].row<T>(r);
        const auto [shift, total] = detail::row_exp<T>(from, n, nullptr);
        detail::row_subtract<T>(from, n, shift, static_cast<T>(std::log(total)), y.row<T>(r));
      });
    });
  }
  void vjp(Vjp& g) const { g.add(0, g.dy() - times0(exp(g.y()), sum(g.dy(), -1, true))); }
  bool rows_are_independent() const { return true; }
};

/// [..., n] to [..., 1].
struct LogSumExp {
  static constexpr std::string_view name = "logsumexp";
  static constexpr int arity = 1;
  static constexpr bool leading_axes = true;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const {
    if (in[0].rank() == 0) throw Error("needs rows, [..., C], not " + in[0].str());
    return in[0].with(in[0].rank() - 1, 1);
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      const Index n = x[0].cols();
      detail::for_each_row(y.rows(), n, [&](Index r) {
        const auto [shift, total] = detail::row_exp<T>(x[0].row<T>(r), n, nullptr);
        *y.row<T>(r) = static_cast<T>(static_cast<double>(shift) + std::log(total));
      });
    });
  }
  void vjp(Vjp& g) const { g.add(0, times0(record(Softmax{}, {g.x(0)}), g.dy())); }
  bool rows_are_independent() const { return true; }
};

template <class Op>
Tensor along(const Operand& operand, int axis) {
  const Tensor x = checked_tensor(Op::name, operand);
  const int a = checked_axis(Op::name, x, axis);
  return swap_axes(record(Op{}, {swap_axes(x, a, -1)}), a, -1);
}

}  // namespace

Tensor logsumexp(Operand x, Axis axis, bool keepdims) {
  const Tensor y = along<LogSumExp>(x, axis);
  return keepdims ? y : reshape(y, y.shape().without(y.shape().axis(axis)));
}
Tensor softmax(Operand x, Axis axis) { return along<Softmax>(x, axis); }
Tensor log_softmax(Operand x, Axis axis) { return along<LogSoftmax>(x, axis); }

}  // namespace rw
