// max(x, 0) could mean the larger of x and 0, or the largest along axis 0: the message says how to write either.
#include <rewind/ops/reduce.h>

#ifdef MUST_NOT_COMPILE
rw::Tensor larger(rw::Tensor x) { return rw::max(x, 0); }
#else
rw::Tensor larger(rw::Tensor x) { return rw::max(x, {0}); }
#endif
