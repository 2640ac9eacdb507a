#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/sort.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// Calls f(row, order) for each row of x: where the first `count` of its numbers stand once sorted.
template <class T, class F>
void for_each_order(ConstView x, Index count, bool descending, F&& f) {
  std::vector<Index> order(static_cast<std::size_t>(x.cols()));
  for (Index r = 0; r < x.rows(); ++r) {
    const T* row = x.row<T>(r);
    const auto below = [row](Index a, Index b) { return row[a] < row[b] || (row[b] != row[b] && row[a] == row[a]); };
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return descending ? below(b, a) : below(a, b); });
    f(r, std::span<const Index>(order).first(static_cast<std::size_t>(count)));
  }
}

/// (x [..., n], values [..., n]) to [..., count]: the values in the order of x.
struct TakeSorted {
  static constexpr std::string_view name = "sort";
  static constexpr bool strided_inputs = true;
  Index count = 0;
  bool descending = false;
  Shape infer(std::span<const Shape> in) const {
    if (count < 0 || count > in[0].cols())
      throw Error(fmt::format("{} of rows of {}: {}", count, in[0].cols(), in[0].str()));
    return in[0].with(in[0].rank() - 1, count);
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for_each_order<T>(x[0], count, descending, [&](Index r, std::span<const Index> order) {
        std::transform(order.begin(), order.end(), y.row<T>(r), [&](Index i) { return x[1].row<T>(r)[i]; });
      });
    });
  }
  void vjp(Vjp& g) const;
  std::string describe() const { return fmt::format("{}{}", count, descending ? " falling" : ""); }
};

/// (x [..., n], sorted [..., count]) to [..., n]: back to where they came from, 0 elsewhere. TakeSorted transposed.
struct PutSorted {
  static constexpr std::string_view name = "unsort";
  static constexpr bool strided_inputs = true;
  bool descending = false;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      std::fill_n(y.as<T>(), y.size(), T(0));
      for_each_order<T>(x[0], x[1].cols(), descending, [&](Index r, std::span<const Index> order) {
        for (std::size_t i = 0; i < order.size(); ++i) y.row<T>(r)[order[i]] = x[1].row<T>(r)[i];
      });
    });
  }
  void vjp(Vjp& g) const { g.add(1, record(TakeSorted{g.x(1).shape().cols(), descending}, {g.x(0), g.dy()})); }
};

void TakeSorted::vjp(Vjp& g) const { g.add(1, record(PutSorted{descending}, {g.x(0), g.dy()})); }

Tensor sorted(std::string_view name, const Operand& operand, int axis, std::optional<Index> count, bool descending) {
  const Tensor x = checked_tensor(name, operand);
  const int a = checked_axis(name, x, axis);
  const Tensor rows = swap_axes(x, a, -1);
  const TakeSorted op{count.value_or(x.shape()[a]), descending};
  if (op.count < 0 || op.count > x.shape()[a])
    throw x.tape().error(name, fmt::format("no {} numbers on axis {} of {}", op.count, a, x.shape().str()));
  return swap_axes(record(op, {rows, rows}), a, -1);
}

}  // namespace

Tensor sort(Operand x, Axis axis, bool descending) { return sorted("sort", x, axis, std::nullopt, descending); }
Tensor topk(Operand x, Index k, Axis axis) { return sorted("topk", x, axis, k, true); }

}  // namespace rw
