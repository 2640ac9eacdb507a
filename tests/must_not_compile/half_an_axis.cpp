// A real is no axis: 0.9 would be axis 0 in silence.
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

#ifdef MUST_NOT_COMPILE
rw::Tensor total(rw::Tensor x) { return rw::sum(x, 0.9); }
#else
rw::Tensor total(rw::Tensor x) { return rw::sum(x, 0) + rw::mean(x, -1L); }
#endif
