#include <rewind/models/gru_cell.h>
#include <rewind/models/parts.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

namespace rw {

GruCell::GruCell(Index in, Index hidden, Rng& rng, const GruOptions& options)
    : GatedCell("gru", 3, in, hidden, rng, options), options_(options) {}

GruCell::State GruCell::step_projected(Tensor xw, const State& s) const {
  const Tensor x_rz = detail::part(xw, 0, 2 * hidden_), x_n = detail::part(xw, 2 * hidden_, hidden_);
  Tensor r, z, n;
  if (options_.reset == GruOptions::Reset::after) {
    const Tensor hr = recur(s.h);
    const auto rz = detail::parts<2>(sigmoid(x_rz + detail::part(hr, 0, 2 * hidden_)));
    r = rz[0], z = rz[1];
    n = tanh(x_n + r * detail::part(hr, 2 * hidden_, hidden_));
  } else {
    const Tensor R = s.h.tape().leaf(R_);
    Tensor a = x_rz + matmul(s.h, detail::part(R, 0, 2 * hidden_));
    if (br_ != nullptr) a = a + detail::part(s.h.tape().leaf(*br_), 0, 2 * hidden_);
    const auto rz = detail::parts<2>(sigmoid(a));
    r = rz[0], z = rz[1];
    Tensor c = x_n + matmul(r * s.h, detail::part(R, 2 * hidden_, hidden_));
    if (br_ != nullptr) c = c + detail::part(s.h.tape().leaf(*br_), 2 * hidden_, hidden_);
    n = tanh(c);
  }
  if (options_.update == GruOptions::Update::keeps) return {n + z * (s.h - n)};
  return {s.h + z * (n - s.h)};
}

GruCell GruCell::clone() const {
  Rng unused(0);
  return cloned(GruCell(in_, hidden_, unused, options_), *this);
}

}  // namespace rw
