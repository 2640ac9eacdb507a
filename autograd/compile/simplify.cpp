#include <rewind/autograd/compile/passes.h>

namespace rw::ir {

Graph simplify(const Graph& g) { return sorted(g); }

}  // namespace rw::ir
