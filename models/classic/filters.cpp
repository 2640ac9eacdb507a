#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <rewind/models/classic/filters.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/linear_recurrence.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

void check_filter(const char* op, Tensor x, Tensor taps) {
  if (x.shape().rank() != 3)
    throw x.tape().error(op, fmt::format("needs a sequence [T, N, features], not {}", x.shape().str()));
  if (taps.shape().rank() != 1 || taps.size() < 1)
    throw x.tape().error(op, fmt::format("taps are a vector of one or more numbers, not {}", taps.shape().str()));
}

/// x later by `by` steps, after zeros.
Tensor delayed(Tensor x, Index by) {
  if (by == 0) return x;
  const Index steps = x.size(0);
  const Tensor silence = x.tape().constant(0, x.shape().with(0, std::min(by, steps)));
  return by >= steps ? silence : concat({silence, slice(x, 0, 0, steps - by)}, 0);
}

}  // namespace

Tensor fir(Tensor x, Operand operand) {
  const Tensor taps = x.tape().resolve(operand);
  check_filter("fir", x, taps);
  Tensor y = x * slice(taps, 0, 0, 1);
  for (Index k = 1; k < taps.size(); ++k) y += delayed(x, k) * slice(taps, 0, k, 1);
  return y;
}

Tensor iir(Tensor x, Operand taps, Operand operand) {
  const Tensor feedback = x.tape().resolve(operand);
  check_filter("iir", x, feedback);
  const Tensor driven = fir(x, taps);
  if (feedback.size() == 1) return linear_recurrence(broadcast_to(-feedback, x.shape()), driven);
  std::vector<Tensor> y;
  for (Index t = 0; t < x.size(0); ++t) {
    const Scope scope(x.tape(), "t", t);
    Tensor now = select(driven, 0, t);
    for (Index m = 1; m <= std::min(feedback.size(), t); ++m)
      now -= y[static_cast<std::size_t>(t - m)] * slice(feedback, 0, m - 1, 1);
    y.push_back(now);
  }
  return y.empty() ? driven : stack(y);
}

}  // namespace rw
