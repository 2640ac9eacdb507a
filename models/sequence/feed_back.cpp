#include <rewind/models/sequence/feed_back.h>
#include <rewind/ops/view.h>

namespace rw {

Tensor shifted(Tensor targets, double begin) {
  const Shape shape = targets.shape();
  if (shape.rank() == 0 || shape[0] == 0)
    throw Error("shifted: targets are [T, ...] of one step or more, not " + shape.str());
  const Array first = full(shape.with(0, 1), begin, targets.dtype());
  return concat({targets.tape().constant(first), slice(targets, 0, 0, shape[0] - 1)}, 0);
}

}  // namespace rw
