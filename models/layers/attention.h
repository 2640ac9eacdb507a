#pragma once

#include <optional>

#include <rewind/models/init.h>
#include <rewind/models/module.h>

namespace rw {

/// What an attention looks at: a source, prepared once for all queries. The batch is the first axis, so that it can be
/// part of a state.
struct AttentionMemory {
  Tensor keys;    // [N, S, K], what queries are compared with
  Tensor values;  // [N, S, E], the source
  Tensor mask;    // [N, S], 0 in the padding
};

struct Attended {
  Tensor context;  // [N, E], the weighted sum of the source
  Tensor weights;  // [N, S], they add up to 1 over each source (to 0 over one of length 0)
};

/// Looks at all steps of a source with weights softmax(score(query, step)). The score is the derived class's.
class Attention : public Module {
 public:
  /// source [S, N, E], as a layer's outputs, and the lengths of its sequences, i32 [N], when they differ; what is in
  /// the padding, nan too, reaches neither values nor gradients. Throws Error for shapes and lengths that do not fit.
  AttentionMemory remember(Tensor source, const std::optional<Tensor>& lengths = std::nullopt) const;

  /// query [N, Q]. Throws Error for widths and batches that do not fit.
  Attended operator()(Tensor query, const AttentionMemory& memory) const;

 protected:
  using Module::Module;
  /// [N, S, E] -> [N, S, K].
  virtual Tensor keys(Tensor source) const = 0;
  /// query [N, Q] and keys [N, S, K] -> [N, S].
  virtual Tensor scores(Tensor query, Tensor keys) const = 0;
};

/// score = q . s, or q . (s W) (Luong, Pham and Manning, 2015: "dot" and "general").
class DotAttention : public Attention {
 public:
  /// "dot": queries are as wide as the source.
  DotAttention() : Attention("attention"), W_(nullptr) {}
  /// "general", for widths that differ: W [source, query]. Throws Error for sizes below 1.
  DotAttention(Index query, Index source, Rng& rng);
  DotAttention clone() const;

 protected:
  Tensor keys(Tensor source) const override;
  Tensor scores(Tensor query, Tensor keys) const override;

 private:
  Parameter* W_;
};

/// score = v . tanh(q W + s U) (Bahdanau, Cho and Bengio, 2015): W [query, width], U [source, width], v [width, 1].
class AdditiveAttention : public Attention {
 public:
  /// Throws Error for sizes below 1.
  AdditiveAttention(Index query, Index source, Index width, Rng& rng);
  AdditiveAttention clone() const;

 protected:
  Tensor keys(Tensor source) const override;
  Tensor scores(Tensor query, Tensor keys) const override;

 private:
  Parameter &W_, &U_, &v_;
};

}  // namespace rw
