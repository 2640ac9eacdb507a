#include <array>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/ops/matmul.h>

namespace rw {
namespace {

struct MatMul {
  static constexpr std::string_view name = "matmul";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 2> attribute_names{"ta", "tb"};
  static constexpr bool strided_inputs = true;
  bool ta = false, tb = false;

  Shape infer(std::span<const Shape> in) const {
    const Shape &a = in[0], &b = in[1];
    if (a.rank() < 2 || b.rank() < 2)
      throw Error(fmt::format("needs matrices, of rank 2 or more: {} x {}", a.str(), b.str()));
    const bool batched = b.rank() > 2;
    if (batched && (a.rank() != b.rank() ||
                    a.with(a.rank() - 1, 0).with(a.rank() - 2, 0) != b.with(b.rank() - 1, 0).with(b.rank() - 2, 0)))
      throw Error(fmt::format("leading axes differ: {} x {}", a.str(), b.str()));
    if (!batched && ta && a.rank() > 2)
      throw Error(fmt::format("cannot transpose a stack of matrices against one: {} x {}", a.str(), b.str()));
    const Index m = a[a.rank() - (ta ? 1 : 2)], ka = a[a.rank() - (ta ? 2 : 1)];
    const Index kb = b[b.rank() - (tb ? 1 : 2)], n = b[b.rank() - (tb ? 2 : 1)];
    if (ka != kb)
      throw Error(fmt::format("inner dimensions differ: {}{} x {}{}", a.str(), ta ? " transposed" : "", b.str(),
                              tb ? " transposed" : ""));
    return a.with(a.rank() - 2, m).with(a.rank() - 1, n);
  }

  void eval(std::span<const ConstView> x, View y) const { run(x[0], x[1], y, false); }
  void eval_add(std::span<const ConstView> x, View y) const { run(x[0], x[1], y, true); }

  void vjp(Vjp& g) const {
    const Tensor dy = g.dy();
    if (g.needs(0)) g.add(0, ta ? record(MatMul{tb, true}, {g.x(1), dy}) : record(MatMul{false, !tb}, {dy, g.x(1)}));
    if (!g.needs(1)) return;
    Tensor a = g.x(0), d = dy;
    if (a.shape().rank() > 2 && g.x(1).shape().rank() == 2) {  // leading axes of a are rows
      a = record(Reshape{Shape{a.shape().rows(), a.shape().cols()}}, {a});
      d = record(Reshape{Shape{d.shape().rows(), d.shape().cols()}}, {d});
    }
    g.add(1, tb ? record(MatMul{true, ta}, {d, a}) : record(MatMul{!ta, false}, {a, d}));
  }

  // Many a by one b are rows of one product, where a is not transposed; anything else is a product for each.
  Tensor vmap(Vmap& v) const {
    const Shape a = v.shape(0), b = v.shape(1);
    if (!v.batched(1) && b.rank() == 2 && !ta) return record(*this, {v.x(0), v.x(1)});
    if (b.rank() > 2 || a.rank() == 2) return record(*this, {v.all(0), v.all(1)});
    // Leading axes of a are rows.
    const Tensor rows = record(Reshape{v.many(Shape{a.rows(), a.cols()})}, {v.all(0)});
    const Tensor y = record(*this, {rows, v.all(1)});
    return record(Reshape{v.many(a.with(a.rank() - 1, y.shape().cols()))}, {y});
  }

  std::string describe() const { return fmt::format("{}{}", ta ? "a'" : "", tb ? "b'" : ""); }
  ProductFact product() const { return {ta, tb}; }
  bool rows_are_independent() const { return !ta; }
  bool sums_over_rows() const { return ta && !tb; }

 private:
  // Matrix number i of a stack.
  static ConstView one(ConstView v, Index i, int last) {
    const Index rows = v.shape[last - 1], step = rows * v.stride * static_cast<Index>(size_of(v.dtype));
    return {static_cast<const char*>(v.data) + i * step, Shape{rows, v.shape[last]}, v.stride, v.dtype};
  }

  void run(ConstView a, ConstView b, View y, bool add) const {
    if (b.shape.rank() == 2) {  // shapes were checked by infer
      const Index k = ta ? a.rows() : a.cols();
      return visit_real(y.dtype, [&]<class T>() {
        gemm(ta, tb, y.rows(), y.cols(), k, a.as<T>(), a.stride, b.as<T>(), b.stride, y.as<T>(), y.stride, add);
      });
    }
    const int last = y.shape.rank() - 1;
    Index batch = 1;
    for (int i = 0; i + 1 < last; ++i) batch *= y.shape[i];
    for (Index i = 0; i < batch; ++i) {
      const ConstView c = one(y, i, last);
      gemm(one(a, i, last), ta, one(b, i, last), tb, {const_cast<void*>(c.data), c.shape, c.stride, c.dtype}, add);
    }
  }
};

}  // namespace

Tensor matmul(Operand a, Operand b, const MatMulOptions& options) {
  return record(MatMul{options.transpose_a, options.transpose_b}, {a, b});
}

}  // namespace rw
