#pragma once

// Internal to autograd/ and models/: what parameters, tapes and modules tell a trace.

#include <memory>
#include <string_view>

/// A function that `compile` traces runs once, and its plan many times. What it looks at besides its arguments is noted
/// here, so that a call can see whether the plan still holds; what it would change is refused.
namespace rw::detail {

class TraceReads;

/// What the trace that runs on this thread has read; null when none runs. A trace belongs to a call on one thread, but
/// modules and parameters know of no tape whom they could tell.
inline constinit thread_local TraceReads* active_trace = nullptr;

[[noreturn]] void throw_in_trace(std::string_view what);

/// Throws Error while this thread traces: `what` would happen at the trace and at no call of the plan.
inline void refuse_in_trace(std::string_view what) {
  if (active_trace != nullptr) [[unlikely]]
    throw_in_trace(what);
}

/// Notes that a traced function does one thing or another depending on `*flag`.
void note_flag(const std::shared_ptr<const bool>& flag);

}  // namespace rw::detail
