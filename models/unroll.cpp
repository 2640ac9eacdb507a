#include <cstddef>
#include <memory>

#include <rewind/models/unroll.h>
#include <rewind/ops/view.h>

namespace rw {

Tensor at_step(Tensor x, Index t) { return select(x, 0, t); }

Tensor stack_steps(std::span<const Tensor> steps) {
  if (steps.empty()) throw Error("stack_steps: there are no steps");
  // End to end, then seen as steps: two nodes, whatever their number. The list is on the stack unless it is long.
  constexpr std::size_t few = 128;
  alignas(Operand) std::byte buffer[few * sizeof(Operand)];
  std::vector<Operand> many;
  std::span<const Operand> list;
  if (steps.size() <= few) {
    auto* first = reinterpret_cast<Operand*>(buffer);
    std::uninitialized_copy(steps.begin(), steps.end(), first);
    list = {first, steps.size()};
  } else {
    many.assign(steps.begin(), steps.end());
    list = many;
  }
  const Shape one = steps[0].shape();
  return reshape(record(Concat{.axis = 0}, list), one.inserted(0, static_cast<Index>(steps.size())));
}

}  // namespace rw
