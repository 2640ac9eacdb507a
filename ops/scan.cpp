#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/ops/scan.h>

namespace rw {
namespace {

struct CumSum {
  static constexpr std::string_view name = "cumsum";
  Index axis = 0;
  bool from_end = false;

  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const {
    Index outer = 1, inner = 1;
    const Index length = y.shape[static_cast<int>(axis)];
    for (int i = 0; i < y.shape.rank(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : y.shape[i];
    visit_real(y.dtype, [&]<class T>() {
      for (Index o = 0; o < outer; ++o)
        for (Index i = 0; i < inner; ++i) {
          double total = 0;
          for (Index k = 0; k < length; ++k) {
            const Index at = (o * length + (from_end ? length - 1 - k : k)) * inner + i;
            total += static_cast<double>(x[0].as<T>()[at]);
            y.as<T>()[at] = static_cast<T>(total);
          }
        }
    });
  }
  void vjp(Vjp& g) const { g.add(0, record(CumSum{axis, !from_end}, {g.dy()})); }
  std::string describe() const { return fmt::format("axis {}{}", axis, from_end ? " from the end" : ""); }
};

}  // namespace

Tensor cumsum(Operand operand, Axis axis) {
  const Tensor x = checked_tensor("cumsum", operand);
  return record(CumSum{checked_axis("cumsum", x, axis)}, {x});
}

}  // namespace rw
