#include <string>

#include <rewind/core/error.h>
#include <rewind/models/cells/lstm_variants.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {

MultiplicativeLstmCell::MultiplicativeLstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : Module("multiplicative"),
      options_(options),
      lstm_(child("lstm", LstmCell(in, hidden, rng, options))),
      Wm_(param("Wm", options.weights(rng, in, hidden))),
      Rm_(param("Rm", detail::start_of_recurrent(options)(rng, hidden / options.heads, hidden / options.heads,
                                                          options.heads))),
      bm_(options.bias == Bias::none ? nullptr : &param("bm", options.biases(rng, 1, hidden).reshaped({hidden}))) {}

Tensor MultiplicativeLstmCell::project(Tensor x) const {
  const Tensor m = x.dtype() == DType::i32 ? lookup(Wm_, x) : matmul(x, Wm_);
  return concat({lstm_.project(x), bm_ != nullptr ? m + *bm_ : m}, -1);
}

MultiplicativeLstmCell::State MultiplicativeLstmCell::step_seeing(Tensor xw, const State& s, Tensor seen) const {
  const Index H = lstm_.hidden();
  const Tensor k = slice(xw, -1, 4 * H, H) * detail::times_blocks(seen, seen.tape().leaf(Rm_), H, options_.heads);
  return lstm_.advance(slice(xw, -1, 0, 4 * H), s, k).state;
}

MultiplicativeLstmCell MultiplicativeLstmCell::clone() const {
  Rng unused(0);
  return cloned(MultiplicativeLstmCell(lstm_.in(), lstm_.hidden(), unused, options_), *this);
}

MogrifierLstmCell::MogrifierLstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options, int rounds)
    : Module("mogrifier"), options_(options), lstm_(child("lstm", LstmCell(in, hidden, rng, options))) {
  if (rounds < 0) throw Error("mogrifier: " + std::to_string(rounds) + " rounds: it must be 0 or more");
  for (int i = 0; i < rounds; ++i) {
    const Index from = i % 2 == 0 ? hidden : in, to = i % 2 == 0 ? in : hidden;
    turns_.push_back(&param("mogrify" + std::to_string(i), options.weights(rng, from, to)));
  }
}

MogrifierLstmCell::State MogrifierLstmCell::step_seeing(Tensor x, const State& s, Tensor seen) const {
  if (x.dtype() == DType::i32) x = one_hot(x, lstm_.in());
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    Tensor& scaled = i % 2 == 0 ? x : seen;
    scaled = 2 * sigmoid(matmul(i % 2 == 0 ? seen : x, *turns_[i])) * scaled;
  }
  return lstm_.advance(lstm_.project(x), s, seen).state;
}

MogrifierLstmCell MogrifierLstmCell::clone() const {
  Rng unused(0);
  return cloned(MogrifierLstmCell(lstm_.in(), lstm_.hidden(), unused, options_, rounds()), *this);
}

}  // namespace rw
