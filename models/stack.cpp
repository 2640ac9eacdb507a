#include <rewind/models/stack.h>
#include <rewind/ops/dropout.h>

namespace rw::detail {

Tensor dropped(Tensor x, double rate, bool on) { return on ? dropout(x, rate) : x; }

}  // namespace rw::detail
