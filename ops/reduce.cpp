#include <algorithm>
#include <array>
#include <limits>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>
#include <rewind/core/math.h>
#include <rewind/core/strides.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/rows.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

struct Max {
  static constexpr std::string_view name = "max";
  static constexpr double start = -std::numeric_limits<double>::infinity();
  template <class T>
  static T choose(T a, T b) {
    return maximum(a, b);
  }
  template <class T>
  static T row(const T* x, Index n, T so_far) {
    return detail::row_max(x, n, so_far);
  }
};

struct Min {
  static constexpr std::string_view name = "min";
  static constexpr double start = std::numeric_limits<double>::infinity();
  template <class T>
  static T choose(T a, T b) {
    return minimum(a, b);
  }
  template <class T>
  static T row(const T* x, Index n, T so_far) {
    return detail::row_min(x, n, so_far);
  }
};

/// The largest or smallest over the axes along which `shape` would be stretched to the input's shape.
template <class Which>
struct Extreme {
  static constexpr std::string_view name = Which::name;
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 1> attribute_names{"shape"};
  static constexpr bool strided_inputs = true;
  Shape shape;

  Shape infer(std::span<const Shape> in) const {
    if (!broadcasts_to(shape, in[0])) throw Error("cannot reduce " + in[0].str() + " to " + shape.str());
    if (in[0].size() == 0 && shape.size() > 0)
      throw Error("nothing to choose from: " + in[0].str() + " over axes of length 0");
    return shape;
  }

  void eval(std::span<const ConstView> x, View y) const {
    if (y.size() == 0) return;
    const auto nest = loop_nest<2>(x[0].shape, {{{x[0].shape, x[0].stride}, {shape, shape.cols()}}}, 2);
    visit_real(y.dtype, [&]<class T>() {
      std::fill_n(y.as<T>(), y.size(), static_cast<T>(Which::start));
      for (Index r = 0; r < nest.outer(); ++r) {
        const T* from = x[0].as<T>() + nest.offset(0, r);
        T* best = y.as<T>() + nest.offset(1, r);
        if (nest.inner_stride(1) == 0)
          *best = Which::row(from, nest.inner(), *best);
        else
          for (Index i = 0; i < nest.inner(); ++i) best[i] = Which::choose(best[i], from[i]);
      }
    });
  }

  void vjp(Vjp& g) const {
    const Tensor chosen = equal(g.x(0), g.y());
    g.add(0, times0(chosen, g.dy() / record(SumTo{shape}, {chosen})));
  }

  Tensor vmap(Vmap& v) const {
    const Tensor chosen = record(Extreme{v.many(shape, v.shape(0).rank())}, {v.x(0)});
    return record(Reshape{v.many(shape)}, {chosen});
  }

  std::string describe() const { return "to " + shape.str(); }
};

template <class Op>
Tensor reduce(const Tensor& x, const ReducedShape& to, bool keepdims) {
  if (keepdims) return record(Op{to.kept}, {x});
  if (to.leading) return record(Op{to.dropped}, {x});
  return reshape(record(Op{to.kept}, {x}), to.dropped);
}

template <class Op>
Tensor reduce(std::string_view name, const Operand& operand, const Axes& axes, bool keepdims) {
  const Tensor x = checked_tensor(name, operand);
  return reduce<Op>(x, reduced_shape(name, x, axes), keepdims);
}

}  // namespace

Tensor sum(Operand x) { return sum(x, Axes::all()); }
Tensor sum(Operand x, const Axes& axes, bool keepdims) { return reduce<SumTo>("sum", x, axes, keepdims); }

Tensor mean(Operand x) { return mean(x, Axes::all()); }
Tensor mean(Operand x, const Axes& axes, bool keepdims) {
  const Tensor total = reduce<SumTo>("mean", x, axes, keepdims);
  const Index all = x.tensor()->size(), kept = total.size();
  return total / (kept == 0 ? Index{1} : all / kept);
}

Tensor max(Operand x) { return max(x, Axes::all()); }
Tensor max(Operand x, const Axes& axes, bool keepdims) { return reduce<Extreme<Max>>("max", x, axes, keepdims); }

Tensor min(Operand x) { return min(x, Axes::all()); }
Tensor min(Operand x, const Axes& axes, bool keepdims) { return reduce<Extreme<Min>>("min", x, axes, keepdims); }

Tensor norm(Operand x) { return norm(x, Axes::all()); }
Tensor norm(Operand operand, const Axes& axes, bool keepdims) {
  const Tensor x = checked_tensor("norm", operand);
  const ReducedShape to = reduced_shape("norm", x, axes);
  if (x.size() == 0) return reduce<SumTo>(x, to, keepdims);
  const Tensor scale = power_of_two(max(abs(x), axes, true));
  const Tensor y = scale * sqrt(record(SumTo{to.kept}, {square(x * (1 / scale))}));
  return keepdims ? y : reshape(y, to.dropped);
}

}  // namespace rw
