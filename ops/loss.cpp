#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/axes.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/indexing.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/rows.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// logsumexp(x) - x[target], row by row: nothing of x's size is kept.
struct CrossEntropy {
  static constexpr std::string_view name = "cross_entropy";
  static constexpr int arity = 2;
  static constexpr bool leading_axes = true;
  static constexpr std::uint32_t integer_inputs = 0b10;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const {
    detail::check_one_index_a_row(in[0], in[1]);
    return in[1];
  }
  void eval(std::span<const ConstView> x, View y) const {
    const detail::Indices targets(x[1], x[0].cols());
    visit_real(y.dtype, [&]<class T>() {
      const Index n = x[0].cols();
      detail::for_each_row(y.size(), n, [&](Index r) {
        const T* from = x[0].row<T>(r);
        const auto [shift, total] = detail::row_exp<T>(from, n, nullptr);
        // The difference first: both may be large, and what is left may be small.
        y.as<T>()[r] =
            static_cast<T>(std::log(total) + (static_cast<double>(shift) - static_cast<double>(from[targets[r]])));
      });
    });
  }
  // (softmax(x) - one_hot(target)) * dy; the second part touches one element of a row.
  void vjp(Vjp& g) const {
    const Tensor x = g.x(0), dy = g.dy();
    g.add(0, times0(softmax(x), reshape(dy, dy.shape().inserted(dy.shape().rank(), 1))));
    g.add(0, record(Place{x.shape().cols()}, {-dy, g.x(1)}));
  }
};

struct Huber {
  static constexpr std::string_view name = "huber";
  double delta = 1;
  std::string describe() const { return fmt::format("delta {}", delta); }
  template <class T>
  T f(T d) const {
    const T c = clamp(d, -static_cast<T>(delta), static_cast<T>(delta));
    return c * (d - T(0.5) * c);
  }
  template <class T>
  T vjp(T d, T, T dy) const {
    return times0(dy, clamp(d, -Number<T>(delta), Number<T>(delta)));
  }
};

// Both terms are of one sign, so that nothing cancels.
struct BinaryCrossEntropy {
  static constexpr std::string_view name = "binary_cross_entropy_with_logits";
  auto f(auto x, auto t) const { return times0(t, softplus(-x)) + times0(1 - t, softplus(x)); }
  auto vjp(Arg<0>, auto x, auto t, auto, auto dy) const { return times0(dy, (1 - t) * sigmoid(x) - t * sigmoid(-x)); }
  auto vjp(Arg<1>, auto x, auto, auto, auto dy) const { return -times0(dy, x); }
};

/// Throws unless the weights, if there are any, broadcast to the losses.
void check_weights(const Tensor& x, const Shape& losses, const LossOptions& options) {
  if (!options.weights.has_value()) return;
  const Shape& weights = options.weights->shape();
  if (!broadcasts_to(weights, losses))
    throw x.tape().error("loss",
                         fmt::format("weights {} do not broadcast to the losses, {}", weights.str(), losses.str()));
}

/// x, with 0 where the weight is 0: what is masked may be nan and reaches neither value nor gradient.
Tensor without_masked(Tensor x, const LossOptions& options) {
  return options.weights.has_value() ? where(*options.weights, x, 0) : x;
}
/// The same for rows [..., C], one position each.
Tensor rows_without_masked(Tensor x, const LossOptions& options) {
  if (!options.weights.has_value()) return x;
  const Shape& weights = options.weights->shape();
  return where(reshape(*options.weights, weights.inserted(weights.rank(), 1)), x, 0);
}

Tensor reduced(const Tensor& losses, const LossOptions& options) {
  const bool weighted = options.weights.has_value();
  const Tensor terms = weighted ? losses * *options.weights : losses;
  switch (options.reduction) {
    case Reduction::none: return terms;
    case Reduction::sum: return sum(terms);
    default: return weighted ? sum(terms) / sum(broadcast_to(*options.weights, losses.shape())) : mean(terms);
  }
}

struct Compared {
  Tensor x, target;
};

Compared checked_pair(std::string_view op, const Operand& x, const Operand& target) {
  Tape& tape = checked_tensor(op, x.tensor() != nullptr ? x : target).tape();
  return {tape.resolve(x), tape.resolve(target)};
}

Compared checked_same_shape(std::string_view op, const Operand& prediction, const Operand& truth,
                            const LossOptions& options) {
  const Compared pair = checked_pair(op, prediction, truth);
  const Shape x = pair.x.shape(), target = pair.target.shape();
  if (x != target)
    throw pair.x.tape().error(op, fmt::format("shapes differ: {} and a target of {}", x.str(), target.str()));
  check_weights(pair.x, x, options);
  return pair;
}

}  // namespace

Tensor cross_entropy(Operand x, Operand classes, const LossOptions& options) {
  const auto [logits, targets] = checked_pair("cross_entropy", x, classes);
  check_weights(logits, targets.shape(), options);
  return reduced(record(CrossEntropy{}, {rows_without_masked(logits, options), targets}), options);
}

Tensor nll(Operand x, Operand classes, const LossOptions& options) {
  const auto [log_probs, targets] = checked_pair("nll", x, classes);
  check_weights(log_probs, targets.shape(), options);
  return reduced(-record(Pick{}, {rows_without_masked(log_probs, options), targets}), options);
}

Tensor mse(Operand prediction, Operand truth, const LossOptions& options) {
  const auto [x, target] = checked_same_shape("mse", prediction, truth, options);
  return reduced(square(without_masked(x - target, options)), options);
}

Tensor l1(Operand prediction, Operand truth, const LossOptions& options) {
  const auto [x, target] = checked_same_shape("l1", prediction, truth, options);
  return reduced(abs(without_masked(x - target, options)), options);
}

Tensor huber(Operand prediction, Operand truth, double delta, const LossOptions& options) {
  const auto [x, target] = checked_same_shape("huber", prediction, truth, options);
  if (!(delta > 0 && std::isfinite(delta)))
    throw x.tape().error("huber", fmt::format("delta must be positive, not {}", delta));
  return reduced(record(Elementwise<Huber>{{delta}}, {without_masked(x - target, options)}), options);
}

Tensor binary_cross_entropy_with_logits(Operand prediction, Operand truth, const LossOptions& options) {
  const auto [x, target] = checked_same_shape("binary_cross_entropy_with_logits", prediction, truth, options);
  return reduced(
      record(Elementwise<BinaryCrossEntropy>{}, {without_masked(x, options), without_masked(target, options)}),
      options);
}

}  // namespace rw
