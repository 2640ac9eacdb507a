#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/core/error.h>
#include <rewind/models/metrics.h>

namespace rw {
namespace {

// The loss of one position, and whether the target is the first of the largest.
template <class T>
double row_nats(const T* logits, Index classes, Index target, bool& right) {
  Index largest = 0;
  for (Index c = 1; c < classes; ++c)
    if (logits[c] > logits[largest]) largest = c;
  right = largest == target;
  const double most = static_cast<double>(logits[largest]);
  double total = 0;
  for (Index c = 0; c < classes; ++c) total += std::exp(static_cast<double>(logits[c]) - most);
  return std::log(total) + most - static_cast<double>(logits[target]);
}

void check_shapes(ConstView logits, ConstView targets, ConstView weights) {
  const int rank = logits.shape.rank();
  bool fit = rank > 0 && is_real(logits.dtype) && targets.dtype == DType::i32 && targets.shape.rank() == rank - 1 &&
             weights.shape == targets.shape;
  for (int axis = 0; fit && axis < rank - 1; ++axis) fit = targets.shape[axis] == logits.shape[axis];
  if (!fit)
    throw Error("score: logits [..., C], i32 targets [...] and weights [...] are expected, not " + logits.shape.str() +
                ", " + std::string(name_of(targets.dtype)) + " " + targets.shape.str() + " and " + weights.shape.str());
}

void check_values(std::span<const std::int32_t> targets, std::span<const double> weights, Index classes) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!(weights[i] >= 0) || std::isinf(weights[i]))
      throw Error("score: weight " + std::to_string(weights[i]) + " of position " + std::to_string(i) +
                  " is not a finite number of 0 or more");
    if (weights[i] > 0 && (targets[i] < 0 || targets[i] >= classes))
      throw Error("score: target " + std::to_string(targets[i]) + " of position " + std::to_string(i) +
                  " is outside [0, " + std::to_string(classes) + ")");
  }
}

}  // namespace

double bits(double nats) { return nats / std::numbers::ln2; }

double perplexity(double nats) { return std::exp(nats); }

void Score::add(ConstView logits, ConstView targets) { add(logits, targets, full(targets.shape, 1)); }

void Score::add(ConstView logits, ConstView targets, ConstView weights) {
  check_shapes(logits, targets, weights);
  const std::vector<std::int32_t> classes = Array(targets).to_vector<std::int32_t>();
  const std::vector<double> weight = Array(weights).to_vector<double>();
  check_values(classes, weight, logits.cols());
  visit_real(logits.dtype, [&]<class T>() {
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (weight[i] == 0) continue;
      bool right = false;
      const double nats = row_nats(logits.row<T>(static_cast<Index>(i)), logits.cols(), classes[i], right);
      nats_ += weight[i] * nats;
      right_ += right ? weight[i] : 0;
      count_ += weight[i];
    }
  });
}

}  // namespace rw
