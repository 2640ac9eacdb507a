#pragma once

// A step of training or testing, compiled or, with `--eager`, run op by op.

#include <utility>

#include <rewind/autograd/compile/compile.h>

#include "task.h"

namespace rw {

inline CompileOptions step_options(bool eager) { return {.dtype = DType::f32, .eager = eager}; }

/// The examples say what the arguments are; nothing is traced before the first call.
template <class F, class... Examples>
Compiled<F, Examples...> make_step(const Task& task, F f, const Examples&...) {
  return {std::move(f), step_options(task.eager())};
}

}  // namespace rw
