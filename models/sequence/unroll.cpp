#include <cstddef>
#include <memory>

#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/compare.h>
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

namespace detail {

void check_sequence(const Tensor& x) {
  if (x.shape().rank() < 2)
    throw Error("unroll: a sequence is [T, N, features] or [T, N] of indices, not " + x.shape().str());
}

Tensor steps_of(Tensor x, Index from, Index count) {
  return count == x.size(0) ? x : record(Slice{.axis = 0, .start = from, .length = count}, {x});
}

void check_batch(const Tensor& x, const Tensor& state) {
  const Shape shape = state.shape();
  if (shape.rank() < 2 || shape[0] == x.size(1) || shape[0] == 1) return;
  throw x.tape().error("unroll", "a state " + shape.str() + " of batch " + std::to_string(shape[0]) +
                                     " does not fit a sequence " + x.shape().str() + " of batch " +
                                     std::to_string(x.size(1)) + " (sequences are time-major: [T, N, features])");
}

Tensor carried(Tensor mask, Tensor after, Tensor before) {
  if (after.same(before)) return after;
  Shape shape = mask.shape();
  if (after.shape().rank() == 0 || before.shape().rank() == 0)
    throw after.tape().error("unroll", "with lengths, every tensor of a state needs the batch as its first axis: " +
                                           before.shape().str() + ", then " + after.shape().str());
  while (shape.rank() < after.shape().rank()) shape = shape.inserted(shape.rank(), 1);
  return where(reshape(mask, shape), after, before);
}

}  // namespace detail

}  // namespace rw
