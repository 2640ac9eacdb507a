#include <rewind/core/error.h>
#include <rewind/models/cells/learned_start.h>
#include <rewind/ops/view.h>

namespace rw::detail {

Tensor repeated(Tensor row, Index batch) { return broadcast_to(row, row.shape().inserted(0, batch)); }

Array only_row(Tensor t) {
  if (t.shape().rank() == 0 || t.size(0) != 1)
    throw Error("learned start: a state for one sequence has a tensor " + t.shape().str() +
                ": the batch, here 1, must be its first axis");
  return t.array().reshaped(t.shape().without(0));
}

}  // namespace rw::detail
