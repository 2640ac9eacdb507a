#include <algorithm>

#include <rewind/models/lstm_cell.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

namespace rw {

LstmCell::LstmCell(Index in, Index hidden, Rng& rng, const LstmOptions& options)
    : GatedCell("lstm", 4, in, hidden, rng, common_options(options)), options_(options) {
  if (b_ == nullptr) return;
  const auto forget = [&](Parameter& bias, double value) {
    std::fill_n(bias.edit().as<float>() + hidden, hidden, static_cast<float>(value));
  };
  forget(*b_, options.forget_bias);
  if (br_ != nullptr) forget(*br_, 0);
}

LstmCell::State LstmCell::step_projected(Tensor xw, const State& s) const {
  const auto [i, f, g, o] = split<4>(xw + recur(s.h));
  const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  return {.h = sigmoid(o) * tanh(c), .c = c};
}

LstmCell LstmCell::clone() const {
  Rng unused(0);
  return cloned(LstmCell(in_, hidden_, unused, options_), *this);
}

}  // namespace rw
