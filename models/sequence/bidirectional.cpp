#include <rewind/models/sequence/bidirectional.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

namespace rw::detail {

Tensor merged(Tensor forward, Tensor backward, bool sum) {
  if (!sum) return concat({forward, backward}, -1);
  if (forward.shape() != backward.shape())
    throw forward.tape().error("bidirectional", "cannot add outputs of different widths: " + forward.shape().str() +
                                                    " and " + backward.shape().str());
  return forward + backward;
}

}  // namespace rw::detail
