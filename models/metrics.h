#pragma once

#include <rewind/core/view.h>

namespace rw {

/// Nats to bits: nats / ln 2. (Of a character model: bits per character.)
double bits(double nats);
/// e^nats: as many equally likely choices have this loss.
double perplexity(double nats);

/// How good predictions of classes are, summed up over any number of batches, in f64.
///
///     Score score;
///     for (...) score.add(logits.value(), targets, mask);
///     score.perplexity();
class Score {
 public:
  /// logits [..., C], f32 or f64, and targets [...], i32 classes in [0, C). Throws Error for shapes that do not fit and
  /// for a target outside, naming it; nothing is added then.
  void add(ConstView logits, ConstView targets);
  /// With a weight of 0 or more for each position, [...], f32, f64 or i32: a mask is weights of 0 and 1. Positions of
  /// weight 0 are not looked at: their targets may be anything.
  void add(ConstView logits, ConstView targets, ConstView weights);

  /// The sum of weights so far, 1 for each position without weights.
  double count() const { return count_; }
  /// Mean of -log softmax(logits)[target], in nats, and in bits. These four are nan while nothing is counted.
  double nats() const { return nats_ / count_; }
  /// The mean loss in bits.
  double bits() const { return rw::bits(nats()); }
  /// exp of the mean loss.
  double perplexity() const { return rw::perplexity(nats()); }
  /// The part whose largest logit is the target's; of equal ones the first counts.
  double accuracy() const { return right_ / count_; }
  /// Bits per character of a model of words or other pieces: all bits, by the characters they stand for.
  double bits_per(double characters) const { return rw::bits(nats_) / characters; }

 private:
  double nats_ = 0, right_ = 0, count_ = 0;
};

}  // namespace rw
