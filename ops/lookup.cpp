#include <rewind/ops/indexing.h>
#include <rewind/ops/lookup.h>

namespace rw {

Tensor lookup(Operand table, Operand indices) { return record(Lookup{}, {table, indices}); }
Tensor pick(Operand x, Operand indices) { return record(Pick{}, {x, indices}); }
Tensor one_hot(Tensor indices, Index classes) { return record(OneHot{classes}, {indices}); }

}  // namespace rw
