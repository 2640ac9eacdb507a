#include <rewind/models/layers/attention.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>

namespace rw {

AttentionMemory Attention::remember(Tensor source, const std::optional<Tensor>& lengths) const {
  Tape& tape = source.tape();
  const Scope scope(tape, name());
  if (source.shape().rank() != 3) throw tape.error("attention", "a source is [S, N, E], not " + source.shape().str());
  const Index steps = source.size(0), batch = source.size(1);
  if (steps == 0) throw tape.error("attention", "a source of no steps, " + source.shape().str());
  if (lengths) source = clear_padding(source, *lengths);
  const Tensor values = permute(source, {1, 0, 2});
  return {.keys = keys(values),
          .values = values,
          .mask = lengths ? transpose(sequence_mask(*lengths, steps)) : tape.constant(1, {batch, steps})};
}

Attended Attention::operator()(Tensor query, const AttentionMemory& memory) const {
  const Scope scope(query.tape(), name());
  const Shape mask = memory.mask.shape();
  if (query.shape().rank() != 2 || query.size(0) != mask[0])
    throw query.tape().error("attention", "a query " + query.shape().str() + " does not fit a source of batch " +
                                              std::to_string(mask[0]) + ": it must be [N, width]");
  // Far below every score, but finite: over a source of length 0 softmax must not be nan.
  const Tensor masked = where(memory.mask, scores(query, memory.keys), -1e30);
  const Tensor weights = softmax(masked) * memory.mask;
  const Tensor context = matmul(reshape(weights, mask.inserted(1, 1)), memory.values);  // [N, 1, E]
  return {.context = reshape(context, {mask[0], context.size(-1)}), .weights = weights};
}

DotAttention::DotAttention(Index query, Index source, Rng& rng) : Attention("attention"), W_(nullptr) {
  detail::checked_size("attention", "query", query);
  detail::checked_size("attention", "source", source);
  W_ = &param("W", glorot(rng, source, query));
}

Tensor DotAttention::keys(Tensor source) const { return W_ != nullptr ? matmul(source, *W_) : source; }

Tensor DotAttention::scores(Tensor query, Tensor keys) const {
  const Index batch = keys.size(0), steps = keys.size(1);
  // [N, 1, K] x [N, S, K]'
  return reshape(matmul(reshape(query, query.shape().inserted(1, 1)), keys, {.transpose_b = true}), {batch, steps});
}

DotAttention DotAttention::clone() const {
  if (W_ == nullptr) return cloned(DotAttention(), *this);
  Rng unused(0);
  const Shape shape = W_->shape();
  return cloned(DotAttention(shape[1], shape[0], unused), *this);
}

AdditiveAttention::AdditiveAttention(Index query, Index source, Index width, Rng& rng)
    : Attention("attention"),
      W_(param("W", glorot(rng, detail::checked_size("attention", "query", query),
                           detail::checked_size("attention", "hidden", width)))),
      U_(param("U", glorot(rng, detail::checked_size("attention", "source", source), width))),
      v_(param("v", glorot(rng, width, 1))) {}

Tensor AdditiveAttention::keys(Tensor source) const { return matmul(source, U_); }

Tensor AdditiveAttention::scores(Tensor query, Tensor keys) const {
  const Tensor q = matmul(query, W_);
  const Tensor scores = matmul(tanh(keys + reshape(q, q.shape().inserted(1, 1))), v_);  // [N, S, 1]
  return reshape(scores, {keys.size(0), keys.size(1)});
}

AdditiveAttention AdditiveAttention::clone() const {
  Rng unused(0);
  return cloned(AdditiveAttention(W_.shape()[0], U_.shape()[0], W_.shape()[1], unused), *this);
}

}  // namespace rw
