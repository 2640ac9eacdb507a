#include <rewind/autograd/tape.h>
#include <rewind/models/layers/centred.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/functions.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

namespace rw::detail {

Centred centred(Tensor x, std::initializer_list<int> axes, double epsilon) {
  const Axes along(axes);
  Centred c;
  c.scale = 1 / power_of_two(maximum(sum(abs(x), along, true), 1));
  const double least = x.dtype() == DType::f32 ? 1e-37 : 1e-300;  // equal numbers are 0 at any scale
  const Tensor z = x * c.scale;
  // Less the first one before less the mean: a mean of equal numbers is rounded, one of zeros is 0. Whatever is taken
  // from all of them changes nothing of what follows, so no gradient need flow through it.
  c.first = z;
  for (const int axis : axes) c.first = slice(c.first, axis, 0, 1);
  c.first = detach(c.first);
  const Tensor apart = z - c.first;
  c.mean_apart = mean(apart, along, true);
  c.d = apart - c.mean_apart;
  const Tensor scaled = maximum(epsilon * c.scale * c.scale, least);
  c.variance = mean(square(c.d), along, true);
  // One division a row: one an element, and again in the gradient, takes as long as all else here.
  c.factor = 1 / sqrt(c.variance + scaled);
  return c;
}

}  // namespace rw::detail
