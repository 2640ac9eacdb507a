#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/optim/clip.h>

namespace rw {
namespace {

template <class F>
void for_each_gradient(std::span<const NamedParameter> parameters, F&& f) {
  for (const NamedParameter& p : parameters) p.parameter->data()->check_grad();
  detail::for_each_once(parameters, [&](const NamedParameter& p) {
    if (p.parameter->frozen()) return;
    visit_real(p.parameter->dtype(), [&]<class T>() { f(p.name, p.parameter->grad().span<T>()); });
  });
}

// The sum runs over 8 interleaved sums: the order is fixed, and it becomes vector code.
template <class T>
double sum_of_squares(std::span<const T> x, double scale) {
  double part[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= x.size(); i += 8)
    for (std::size_t k = 0; k < 8; ++k) {
      const double v = static_cast<double>(x[i + k]) * scale;
      part[k] += v * v;
    }
  for (; i < x.size(); ++i) {
    const double v = static_cast<double>(x[i]) * scale;
    part[i % 8] += v * v;
  }
  return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

double total(std::span<const NamedParameter> parameters, double scale) {
  double sum = 0;
  for_each_gradient(parameters,
                    [&]<class T>(const std::string&, std::span<T> g) { sum += sum_of_squares<T>(g, scale); });
  return sum;
}

double largest(std::span<const NamedParameter> parameters) {
  double most = 0;
  for_each_gradient(parameters, [&]<class T>(const std::string& name, std::span<T> g) {
    for (const T x : g) {
      if (!std::isfinite(x)) throw Error("the gradient of '" + name + "' is " + (std::isnan(x) ? "nan" : "infinite"));
      most = std::max(most, std::abs(static_cast<double>(x)));
    }
  });
  return most;
}

/// A norm as a product, of which `rest` is the norm of scaled numbers, and so neither too large nor too small.
struct ScaledNorm {
  double scale, rest;
};

ScaledNorm scaled_norm(std::span<const NamedParameter> parameters) {
  const double sum = total(parameters, 1);
  if (sum > 1e-200 && sum < 1e200) return {1, std::sqrt(sum)};
  // Throws when a gradient is not a number; else the squares over- or underflow. One over a smaller scale is infinite.
  const double scale = std::max(largest(parameters), std::numeric_limits<double>::min());
  return {scale, std::sqrt(total(parameters, 1 / scale))};
}

}  // namespace

double grad_norm(std::span<const NamedParameter> parameters) {
  const ScaledNorm norm = scaled_norm(parameters);
  return norm.scale * norm.rest;
}

double clip_grad_norm(std::span<const NamedParameter> parameters, double max_norm) {
  if (!(max_norm > 0)) throw Error(fmt::format("clip_grad_norm: the largest norm must be above 0, not {}", max_norm));
  const ScaledNorm norm = scaled_norm(parameters);
  const double most = max_norm / norm.scale;
  if (norm.rest > most) {
    const double scale = most / norm.rest;
    for_each_gradient(parameters, [&]<class T>(const std::string&, std::span<T> g) {
      for (T& x : g) x = static_cast<T>(static_cast<double>(x) * scale);
    });
  }
  return norm.scale * norm.rest;
}

double clip_grad_value(std::span<const NamedParameter> parameters, double limit) {
  if (!(limit > 0)) throw Error(fmt::format("clip_grad_value: the limit must be above 0, not {}", limit));
  const double norm = grad_norm(parameters);
  for_each_gradient(parameters, [&]<class T>(const std::string&, std::span<T> g) {
    const T most = static_cast<T>(limit);
    for (T& x : g) x = x > most ? most : x < -most ? -most : x;
  });
  return norm;
}

void mean_over_uses(std::span<const NamedParameter> parameters, Index uses) {
  if (uses < 1) throw Error("mean_over_uses: a weight is used at least once, not " + std::to_string(uses) + " times");
  for_each_gradient(parameters, [&]<class T>(const std::string&, std::span<T> g) {
    for (T& x : g) x /= static_cast<T>(uses);
  });
}

}  // namespace rw
