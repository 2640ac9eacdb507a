#include <rewind/models/layers/linear.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

namespace rw {

Linear::Linear(Index in, Index out, Rng& rng, const LinearOptions& options)
    : Module("linear"),
      in_(detail::checked_size("linear", "input", in)),
      out_(detail::checked_size("linear", "output", out)),
      options_(options),
      W_(param("W", options.weights(rng, in, out))),
      b_(options.bias ? &param("b", options.biases(rng, 1, out).reshaped({out})) : nullptr) {}

Tensor Linear::operator()(Tensor x) const {
  const Tensor y = matmul(x, W_);
  return b_ != nullptr ? y + *b_ : y;
}

Linear Linear::clone() const {
  Rng unused(0);
  return cloned(Linear(in_, out_, unused, options_), *this);
}

}  // namespace rw
