#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/checkpointed_bptt.h>

namespace rw::detail {

void copy_array(ConstView from, Array& to) {
  if (to.shape() == from.shape && to.dtype() == from.dtype)
    copy(from, to.view());
  else
    to = Array(from);
}

void copy_checkpoint(const Checkpoint& from, Checkpoint& to) {
  to.values.resize(from.values.size());
  for (std::size_t i = 0; i < from.values.size(); ++i) copy_array(from.values[i], to.values[i]);
  to.alias = from.alias;
}

std::size_t bytes_of(const SavedState& state) {
  std::size_t bytes = 0;
  for (const Array& a : state) bytes += sizeof(Array) + static_cast<std::size_t>(a.size()) * size_of(a.dtype());
  return bytes;
}

ConstView steps_of(ConstView x, Index from, Index count) {
  const auto bytes =
      static_cast<std::ptrdiff_t>(from * x.shape.without(0).size()) * static_cast<std::ptrdiff_t>(size_of(x.dtype));
  return contiguous_view(static_cast<const std::byte*>(x.data) + bytes, x.shape.with(0, count), x.dtype);
}
View steps_of(View x, Index from, Index count) {
  const ConstView part = steps_of(static_cast<ConstView>(x), from, count);
  return contiguous_view(const_cast<void*>(part.data), part.shape, part.dtype);
}

void check(const CheckpointOptions& o, const TapeOptions& tape) {
  if (tape.trace)
    throw Error(
        "checkpointed bptt: compile cannot trace it, because it goes over values again: use it eagerly, or compile "
        "unroll and backward");
  if (o.block < 1) throw Error(fmt::format("checkpointed bptt: a block of {} steps: it must be 1 or more", o.block));
  if (o.states.has_value() && *o.states < 1)
    throw Error(fmt::format("checkpointed bptt: {} stored states: the minimum is 1", *o.states));
  if (o.states.has_value() && o.bytes.has_value())
    throw Error("checkpointed bptt: the budget is given in bytes and in states: give one of them");
}

void check_sequence(ConstView x, Index batch, bool input_gradient) {
  if (x.shape.rank() < 2 || x.shape[0] == 0 || x.shape[1] != batch)
    throw Error(fmt::format(
        "checkpointed bptt: a sequence for a batch of {} is [T, {}, features], or [T, {}] of indices, T >= 1; not {}",
        batch, batch, batch, x.shape.str()));
  if (!x.contiguous()) throw Error("checkpointed bptt: a sequence must lie in one piece: give an Array of it");
  if (input_gradient && !is_real(x.dtype))
    throw Error("checkpointed bptt: indices have no gradient: leave input_gradient off");
}

ConstView values_to_checkpoint(Tensor x) {
  check({}, {.trace = x.tape().tracing()});
  return x.value();
}

}  // namespace rw::detail
