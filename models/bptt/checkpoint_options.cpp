#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpoint_options.h>
#include <rewind/models/bptt/checkpoint_sequence.h>

namespace rw::detail {

void check(const CheckpointOptions& o, const TapeOptions& tape) {
  refuse_trace(tape.trace);
  if (o.block < 1) throw Error(fmt::format("checkpointed bptt: a block of {} steps: it must be 1 or more", o.block));
  if (o.states.has_value() && *o.states < 1)
    throw Error(fmt::format("checkpointed bptt: {} stored states: the minimum is 1", *o.states));
  if (o.states.has_value() && o.bytes.has_value())
    throw Error("checkpointed bptt: the budget is given in bytes and in states: give one of them");
}

}  // namespace rw::detail
