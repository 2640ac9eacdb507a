#include <rewind/models/unroll.h>

namespace rw {

Tensor at_step(Tensor x, Index t) {
  const Tensor row = record(Slice{.axis = 0, .start = t, .length = 1}, {x});
  return record(Reshape{x.shape().without(0)}, {row});
}

Tensor stack_steps(std::span<const Tensor> steps) {
  if (steps.empty()) throw Error("stack_steps: there are no steps");
  const Shape one = steps[0].shape();
  std::vector<Operand> operands(steps.begin(), steps.end());
  const Tensor flat = record(Concat{.axis = 0}, std::span<const Operand>(operands));
  return record(Reshape{one.inserted(0, static_cast<Index>(steps.size()))}, {flat});
}

}  // namespace rw
