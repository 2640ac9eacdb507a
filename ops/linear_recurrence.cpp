#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/linear_recurrence.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// Where the steps of a recurrence lie: step t of row o is the `inner` elements at (o * steps + t) * inner.
struct Walk {
  Index outer = 1, steps = 1, inner = 1;

  Walk(const Shape& shape, Index axis) : steps(shape[static_cast<int>(axis)]) {
    for (int i = 0; i < shape.rank(); ++i)
      if (i != axis) (i < axis ? outer : inner) *= shape[i];
  }
};

/// Elements side by side that are one piece of work, and steps that are a block of the scan.
constexpr Index columns = 64, block = 1024;

/// `count` steps of `width` elements, `stride` apart, from `carry`, which they leave at the last one's value.
template <class T>
void run_steps(Index count, Index width, Index stride, const T* a, const T* x, T* y, T* carry) {
  for (Index t = 0; t < count; ++t, a += stride, x += stride, y += stride)
    for (Index i = 0; i < width; ++i) {
      const T h = carry[i];
      carry[i] = y[i] = (h == 0 || a[i] == 0 ? T(0) : a[i] * h) + x[i];
    }
}

/// The product of the factors of some steps.
template <class T>
void multiply_steps(Index count, Index width, Index stride, const T* a, T* product) {
  std::fill_n(product, width, T(1));
  for (Index t = 0; t < count; ++t, a += stride)
    for (Index i = 0; i < width; ++i) product[i] = a[i] == 0 || product[i] == 0 ? T(0) : a[i] * product[i];
}

/// h(t) = a(t) h(t-1) + x(t); `transposed`: h(t) = a(t+1) h(t+1) + x(t).
struct LinearRecurrence {
  static constexpr std::string_view name = "linear_recurrence";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 2> attribute_names{"axis", "transposed"};
  Index axis = 0;
  bool transposed = false;

  Shape infer(std::span<const Shape> in) const {
    if (in[0] != in[1])
      throw Error(fmt::format("the factors {} and the inputs {} must have one shape", in[0].str(), in[1].str()));
    if (axis < 0 || axis >= in[0].rank()) throw Error(fmt::format("no axis {} in {}", axis, in[0].str()));
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const {
    const Walk walk(y.shape, axis);
    if (y.size() == 0) return;
    visit_real(y.dtype, [&]<class T>() { run<T>(walk, x[0].as<T>(), x[1].as<T>(), y.as<T>()); });
  }
  void vjp(Vjp& g) const {
    const Tensor dx = record(LinearRecurrence{axis, !transposed}, {g.x(0), g.dy()});
    g.add(1, dx);
    if (!g.needs(0)) return;
    // dL/da(t) is the gradient that leaves step t for the one before it in time, times the value that met a(t) there.
    const Tensor later = transposed ? g.y() : dx, earlier = transposed ? dx : g.y();
    const Index steps = later.shape()[static_cast<int>(axis)];
    if (steps < 2) return;
    g.add_slice(0,
                times0(slice(later, static_cast<int>(axis), 1, steps - 1),
                       slice(earlier, static_cast<int>(axis), 0, steps - 1)),
                static_cast<int>(axis), 1);
  }
  Tensor vmap(Vmap& v) const { return record(LinearRecurrence{axis + 1, transposed}, {v.all(0), v.all(1)}); }
  std::string describe() const { return fmt::format("axis {}{}", axis, transposed ? " backward" : ""); }

 private:
  /// Steps of some elements, in the order of the run: forward in time or, transposed, backward.
  template <class T>
  struct Piece {
    const T *a, *x;  // at the first step
    T* y;
    Index width, stride;
    bool transposed;

    /// `count` steps from number `first` on, from `carry`. The first step of all has nothing before it.
    void run(Index first, Index count, T* carry) const {
      if (first == 0) {
        for (Index i = 0; i < width; ++i) carry[i] = y[i] = x[i];
        first = 1;
        --count;
      }
      if (count > 0) run_steps(count, width, stride, factors(first), x + first * stride, y + first * stride, carry);
    }
    /// What step `first`, which is not 0, multiplies the one before it with. Transposed, that step is later in time,
    /// and so the factor is its.
    const T* factors(Index first) const { return a + (transposed ? first - 1 : first) * stride; }
  };

  template <class T>
  void run(const Walk& w, const T* a, const T* x, T* y) const {
    const Index across = (w.inner + columns - 1) / columns, pieces = w.outer * across;
    const bool in_blocks = w.steps >= 2 * block && w.inner <= columns;
    const auto piece = [&](Index p) {
      const Index from = p % across * columns, first = transposed ? w.steps - 1 : 0;
      const Index at = (p / across * w.steps + first) * w.inner + from;
      return Piece<T>{a + at,    x + at, y + at, std::min(columns, w.inner - from), transposed ? -w.inner : w.inner,
                      transposed};
    };
    if (in_blocks)
      for (Index p = 0; p < pieces; ++p) scan(piece(p), w.steps);
    else
      parallel_for(pieces, [&](Index p) {
        T carry[columns];
        piece(p).run(0, w.steps, carry);
      });
  }

  /// What each block makes of 0, and the product of its factors; then, block by block, what each ends with; then all of
  /// them from there.
  template <class T>
  static void scan(const Piece<T>& p, Index steps) {
    const Index blocks = (steps + block - 1) / block;
    std::vector<T> ends(static_cast<std::size_t>(blocks * columns)), products(ends);
    const auto of = [](std::vector<T>& v, Index b) { return v.data() + b * columns; };
    parallel_for(blocks - 1, [&](Index b) {
      p.run(b * block, block, of(ends, b));
      if (b > 0) multiply_steps(block, p.width, p.stride, p.factors(b * block), of(products, b));
    });
    for (Index b = 1; b + 1 < blocks; ++b)
      for (Index i = 0; i < p.width; ++i) {
        const T before = of(ends, b - 1)[i], product = of(products, b)[i];
        if (before != 0 && product != 0) of(ends, b)[i] += product * before;
      }
    parallel_for(blocks - 1, [&](Index b) {
      T carry[columns];
      std::copy_n(of(ends, b), p.width, carry);
      p.run((b + 1) * block, std::min(block, steps - (b + 1) * block), carry);
    });
  }
};

}  // namespace

Tensor linear_recurrence(Operand a, Operand x, Axis axis) {
  const Tensor* const known = a.tensor() != nullptr ? a.tensor() : &checked_tensor("linear_recurrence", x);
  return record(LinearRecurrence{checked_axis("linear_recurrence", *known, axis)}, {a, x});
}

Tensor linear_recurrence_from(Operand start, Operand a, Operand x, Axis axis) {
  const Tensor& known = a.tensor() != nullptr ? *a.tensor() : checked_tensor("linear_recurrence", x);
  const Tensor factors = known.tape().resolve(a), inputs = known.tape().resolve(x);
  const int i = checked_axis("linear_recurrence", known, axis);
  const Index steps = known.shape()[i];
  if (steps == 0 || factors.shape() != inputs.shape()) return linear_recurrence(a, x, axis);
  const Shape one = known.shape().with(i, 1);
  const Tensor h = reshape(broadcast_to(known.tape().resolve(start), known.shape().without(i)), one);
  const Tensor first = slice(inputs, i, 0, 1) + times0(slice(factors, i, 0, 1), h);
  if (steps == 1) return first;
  return linear_recurrence(factors, concat({first, slice(inputs, i, 1, steps - 1)}, i), i);
}

}  // namespace rw
