#include <cmath>
#include <mutex>
#include <vector>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/layers/batch_norm.h>
#include <rewind/models/layers/centred.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

const BatchNormOptions& checked(const BatchNormOptions& options) {
  if (!(options.momentum >= 0 && options.momentum <= 1))
    throw Error(fmt::format("batch_norm: the momentum must be from 0 to 1, not {}", options.momentum));
  if (!(options.epsilon > 0 && std::isfinite(options.epsilon)))
    throw Error(fmt::format("batch_norm: epsilon must be a positive number, not {}", options.epsilon));
  return options;
}

/// p moved towards `to` by a part of the way; what was infinite stays so, unless all of it is the way.
void move(Parameter& p, const std::vector<double>& to, double part) {
  Array value = p.value().to(DType::f64);
  for (std::size_t i = 0; i < to.size(); ++i) {
    double& x = value.span<double>()[i];
    if (part > 0) x = part < 1 ? (1 - part) * x + part * to[i] : to[i];
  }
  p.set(value.to(p.dtype()));
}

}  // namespace

BatchNorm::BatchNorm(Index width, const BatchNormOptions& options)
    : Module("batch_norm"),
      width_(detail::checked_size("batch_norm", "feature", width)),
      options_(checked(options)),
      gain_(param("gain", full({width}, 1))),
      shift_(param("shift", zeros(width))),
      mean_(buffer("mean", zeros(width))),
      variance_(buffer("variance", full({width}, 1))) {}

Tensor BatchNorm::operator()(Tensor x) const {
  const Shape shape = x.shape();
  const int axis = checked_axis("batch_norm", x, options_.axis);
  if (shape[axis] != width_)
    throw x.tape().error(name(), fmt::format("axis {} of {} must have {} features", axis, shape.str(), width_));
  Index before = 1;
  for (int i = 0; i < axis; ++i) before *= shape[i];
  const Index count = shape.size() / width_;
  const Tensor all = reshape(x, {before, width_, before == 0 ? 0 : count / before});
  const auto row = [&](const Parameter& p) { return reshape(x.tape().leaf(p), {width_, 1}); };
  if (!training()) {
    const Tensor scale = row(gain_) / sqrt(row(variance_) + options_.epsilon);
    return reshape((all - row(mean_)) * scale + row(shift_), shape);
  }
  if (count < 2)
    throw x.tape().error(name(),
                         fmt::format("{} has {} number of a feature: training needs two or more", shape.str(), count));
  const detail::Centred features = detail::centred(all, {0, 2}, options_.epsilon);  // [1, width, 1]
  observe(features, count);
  return reshape(features.d * (row(gain_) * features.factor) + row(shift_), shape);
}

void BatchNorm::observe(const detail::Centred& features, Index count) const {
  if (features.d.tape().tracing()) return;
  static std::mutex one_at_a_time;  // shards share a model, each on a thread of its own
  const std::lock_guard lock(one_at_a_time);
  const auto numbers = [](const Tensor& t) { return t.array().to_vector<double>(); };
  std::vector<double> mean = numbers(features.mean_apart), variance = numbers(features.variance);
  const std::vector<double> scale = numbers(features.scale), first = numbers(features.first);
  const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    mean[i] = (first[i] + mean[i]) / scale[i];
    variance[i] = variance[i] / scale[i] / scale[i] * unbiased;
  }
  move(mean_, mean, options_.momentum);
  move(variance_, variance, options_.momentum);
}

BatchNorm BatchNorm::clone() const { return cloned(BatchNorm(width_, options_), *this); }

}  // namespace rw
