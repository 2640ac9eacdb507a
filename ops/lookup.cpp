#include <algorithm>

#include <rewind/core/error.h>
#include <rewind/ops/indexing.h>
#include <rewind/ops/lookup.h>

namespace rw {
namespace {

struct HardMax {
  static constexpr std::string_view name = "hardmax";
  static constexpr int arity = 1;
  static constexpr bool leading_axes = true;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const {
    if (in[0].rank() == 0) throw Error("needs rows, [..., C], not " + in[0].str());
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for (Index r = 0; r < y.rows(); ++r) {
        const T* from = x[0].row<T>(r);
        T* to = y.row<T>(r);
        std::fill_n(to, y.cols(), T(0));
        if (y.cols() == 0) continue;
        Index best = 0;
        for (Index i = 1; i < y.cols() && from[best] == from[best]; ++i)
          if (!(from[i] <= from[best])) best = i;
        to[best] = T(1);
      }
    });
  }
};

}  // namespace

Tensor lookup(Operand table, Operand indices) { return record(Lookup{}, {table, indices}); }
Tensor pick(Operand x, Operand indices) { return record(Pick{}, {x, indices}); }
Tensor hardmax(Operand x) { return record(HardMax{}, {x}); }
Tensor one_hot(Operand indices, Index classes) { return record(OneHot{classes}, {indices}); }

}  // namespace rw
