#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/axes.h>

namespace rw {

Axes::Axes(std::initializer_list<int> axes) {
  if (axes.size() > max_rank) throw Error(fmt::format("at most {} axes, not {}", max_rank, axes.size()));
  for (int a : axes) axes_[static_cast<std::size_t>(count_++)] = a;
}

Axes Axes::all() {
  Axes axes({});
  axes.all_ = true;
  return axes;
}

const Tensor& checked_tensor(std::string_view op, const Operand& x) {
  if (const Tensor* t = x.tensor()) return *t;
  throw Error(
      fmt::format("[{}] no input is a Tensor, so there is no tape to record on: use tape.leaf(parameter) or "
                  "tape.constant(array)",
                  op));
}

int checked_axis(std::string_view op, const Tensor& x, int axis) {
  const Shape shape = x.shape();
  const int a = axis < 0 ? axis + shape.rank() : axis;
  if (a < 0 || a >= shape.rank()) throw x.tape().error(op, fmt::format("no axis {} in shape {}", axis, shape.str()));
  return a;
}

ReducedShape reduced_shape(std::string_view op, const Tensor& x, const Axes& axes) {
  const Shape shape = x.shape();
  std::array<bool, max_rank> gone{};
  gone.fill(axes.is_all());
  for (int axis : axes) {
    const int a = checked_axis(op, x, axis);
    if (std::exchange(gone[static_cast<std::size_t>(a)], true))
      throw x.tape().error(op, fmt::format("axis {} of {} is named twice", a, shape.str()));
  }
  ReducedShape out{shape, {}, true};
  for (int i = 0; i < shape.rank(); ++i) {
    if (gone[static_cast<std::size_t>(i)]) {
      out.kept = out.kept.with(i, 1);
      out.leading = out.leading && out.dropped.rank() == 0;
    } else {
      out.dropped = out.dropped.inserted(out.dropped.rank(), shape[i]);
    }
  }
  return out;
}

}  // namespace rw
