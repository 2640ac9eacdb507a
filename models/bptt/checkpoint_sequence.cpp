#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpoint_sequence.h>
#include <rewind/ops/padding.h>

namespace rw::detail {

namespace {

/// Steps [from, from + count) of x [T, ...].
ConstView steps_of(ConstView x, Index from, Index count) {
  const auto bytes =
      static_cast<std::ptrdiff_t>(from * x.shape.without(0).size()) * static_cast<std::ptrdiff_t>(size_of(x.dtype));
  return contiguous_view(static_cast<const std::byte*>(x.data) + bytes, x.shape.with(0, count), x.dtype);
}

}  // namespace

ConstView CheckpointSequence::inputs(Index position) const {
  return steps_of(x, first_step(position), end(position) - position);
}

View CheckpointSequence::part(View of, Index position) const {
  const ConstView part = steps_of(of, first_step(position), end(position) - position);
  return contiguous_view(const_cast<void*>(part.data), part.shape, part.dtype);
}

UnrollOptions CheckpointSequence::options(Tape& tape, Index position) const {
  UnrollOptions options{.reverse = reverse, .first = first_step(position)};
  if (lengths)
    options.lengths = lengths_within(tape.constant(*lengths), steps(), first_step(position), end(position) - position);
  return options;
}

void check(const CheckpointSequence& sequence, Index batch, bool input_gradient) {
  const ConstView& x = sequence.x;
  if (x.shape.rank() < 2 || x.shape[1] != batch)
    throw Error(fmt::format(
        "checkpointed bptt: a sequence for a batch of {} is [T, {}, features], or [T, {}] of indices; not {}", batch,
        batch, batch, x.shape.str()));
  if (!x.contiguous()) throw Error("checkpointed bptt: a sequence must lie in one piece: give an Array of it");
  if (input_gradient && !is_real(x.dtype))
    throw Error("checkpointed bptt: indices have no gradient: leave input_gradient off");
  if (!sequence.lengths) return;
  const ConstView& lengths = *sequence.lengths;
  if (is_real(lengths.dtype) || lengths.shape != Shape{batch})
    throw Error(fmt::format("checkpointed bptt: lengths must be i32 ({}), not {} {}", batch, name_of(lengths.dtype),
                            lengths.shape.str()));
}

void refuse_trace(bool tracing) {
  if (tracing)
    throw Error(
        "checkpointed bptt: compile cannot trace it, because it goes over values again: use it eagerly, or compile "
        "unroll and backward");
}

ConstView values_to_checkpoint(Tensor x) {
  refuse_trace(x.tape().tracing());
  return x.value();
}

}  // namespace rw::detail
