// A real is no axis, nor is a bool, where one axis is meant.
#include <rewind/ops/softmax.h>

#ifdef MUST_NOT_COMPILE
rw::Tensor weights(rw::Tensor x) { return rw::softmax(x, 0.9); }
#else
rw::Tensor weights(rw::Tensor x) { return rw::softmax(x, 1); }
#endif
