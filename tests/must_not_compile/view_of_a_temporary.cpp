// The elements of an array that ends with the loop's head would be freed memory in its body.
#include <rewind/core/array.h>

rw::Array drawn() { return rw::zeros({3}); }

float sum() {
  float total = 0;
#ifdef MUST_NOT_COMPILE
  for (const float x : drawn().span<float>()) total += x;
#else
  const rw::Array named = drawn();
  for (const float x : named.span<float>()) total += x;
#endif
  return total;
}
