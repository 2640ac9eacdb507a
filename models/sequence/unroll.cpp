#include <cstddef>
#include <memory>
#include <string>

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

bool keeps_shape(const Tensor& before, const Tensor& after) {
  if (before.same(after)) return true;
  if (before.dtype() != after.dtype()) return false;
  const Shape from = before.shape(), to = after.shape();
  if (from == to) return true;
  if (from.rank() > to.rank()) return false;
  for (int i = 1; i <= from.rank(); ++i)
    if (const Index n = from[from.rank() - i]; n != 1 && n != to[to.rank() - i]) return false;
  return true;
}

void throw_other_state(Tape& tape, std::size_t tensors_before, std::size_t tensors_after) {
  throw tape.error("unroll", "a step made a state of " + std::to_string(tensors_after) + " tensors of one of " +
                                 std::to_string(tensors_before) + ": a state keeps its structure from step to step");
}

void throw_other_shape(std::size_t tensor, const Tensor& before, const Tensor& after) {
  const auto text = [](const Tensor& t) { return std::string(name_of(t.dtype())) + " " + t.shape().str(); };
  throw after.tape().error("unroll", "a step changed tensor " + std::to_string(tensor) + " of its state from " +
                                         text(before) + " to " + text(after) +
                                         ": a state keeps its shapes from step to step");
}

Tensor no_outputs(const Tensor& like, Index batch) {
  Shape shape = like.shape();
  if (shape.rank() > 0 && shape[0] == 1) shape = shape.with(0, batch);
  return like.tape().constant(Array(shape.inserted(0, 0), like.dtype()));
}

}  // namespace detail

}  // namespace rw
