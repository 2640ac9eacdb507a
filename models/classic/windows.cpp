#include <vector>

#include <fmt/format.h>

#include <rewind/models/classic/windows.h>
#include <rewind/ops/view.h>

namespace rw {

Tensor windows(Tensor x, Index k) {
  Tape& tape = x.tape();
  if (x.shape().rank() != 3)
    throw tape.error("windows", fmt::format("needs a sequence [T, N, features], not {}", x.shape().str()));
  if (k < 1) throw tape.error("windows", fmt::format("{} delay taps: there must be 1 or more", k));
  const Index steps = x.size(0);
  if (steps < k)
    throw tape.error("windows",
                     fmt::format("{} values are fewer than the {} delay taps: {}", steps, k, x.shape().str()));
  std::vector<Tensor> taps;
  for (Index i = 0; i < k; ++i) taps.push_back(slice(x, 0, i, steps - k + 1));
  return concat(taps, 2);
}

}  // namespace rw
