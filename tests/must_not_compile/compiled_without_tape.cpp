// A compiled function takes the tape first.
#include <rewind/autograd/compile/compile.h>
#include <rewind/ops/reduce.h>

using namespace rw;

void run(const Array& x) {
#ifdef MUST_NOT_COMPILE
  auto f = compile([](Tensor x) { return sum(x); }, {.seed = 1}, x);
#else
  auto f = compile([](Tape&, Tensor x) { return sum(x); }, {.seed = 1}, x);
#endif
  f(x);
}
