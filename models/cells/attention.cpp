#include <rewind/models/cells/attention.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/view.h>

namespace rw::detail {

Tensor beside(Tensor a, Tensor b) { return concat({a, b}, -1); }

Tensor combined(const Linear& combine, Tensor context, Tensor h) {
  const Scope scope(h.tape(), combine.name());
  return tanh(combine(beside(context, h)));
}

}  // namespace rw::detail
