#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/optim/weight_average.h>
#include <rewind/models/weights/state_arrays.h>

namespace rw {

WeightAverage::WeightAverage(std::span<const NamedParameter> parameters, const WeightAverageOptions& options)
    : parameters_(parameters), options_(options) {
  if (!(options.decay >= 0 && options.decay < 1))
    throw Error(fmt::format("weight average: decay must be in [0, 1), not {}", options.decay));
  for (const NamedParameter& p : parameters_.all()) averages_.push_back(p.parameter->value());
}

void WeightAverage::require_out(const char* what) const {
  if (swapped_)
    throw Error("weight average: " + std::string(what) + " while the averages are in the model: swap them out first");
}

void WeightAverage::update() {
  require_out("update()");
  detail::refuse_in_trace("a weight average's update() is called");
  for (std::size_t i = 0; i < averages_.size(); ++i)
    if (const NamedParameter& p = parameters_.all()[i]; p.parameter->dtype() != averages_[i].dtype())
      throw Error(fmt::format("weight average: parameter '{}' was converted to {}: make another average", p.name,
                              name_of(p.parameter->dtype())));
  const double n = static_cast<double>(updates_++);
  const double decay = options_.warm_up ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay;
  for (std::size_t i = 0; i < averages_.size(); ++i)
    visit_real(averages_[i].dtype(), [&]<class T>() {
      const std::span<const T> w = parameters_.all()[i].parameter->value().span<T>();
      const std::span<T> a = averages_[i].span<T>();
      const T keep = static_cast<T>(decay), take = static_cast<T>(1 - decay);
      for (std::size_t k = 0; k < a.size(); ++k) a[k] = keep * a[k] + take * w[k];
    });
}

void WeightAverage::swap() {
  detail::refuse_in_trace("a weight average's swap() is called");
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    Parameter& p = *parameters_.all()[i].parameter;
    Array weights = p.value();
    p.set(averages_[i]);
    averages_[i] = std::move(weights);
  }
  swapped_ = !swapped_;
}

std::vector<NamedArray> WeightAverage::state() const {
  require_out("state()");
  std::vector<NamedArray> all;
  for (std::size_t i = 0; i < averages_.size(); ++i)
    all.push_back({parameters_.all()[i].name + ".average", averages_[i]});
  all.push_back({"updates", full({}, static_cast<double>(updates_), DType::f64)});
  return all;
}

void WeightAverage::set_state(std::span<const NamedArray> state) {
  require_out("set_state()");
  const std::string complaint = "the saved state is not of this weight average";
  const auto saved = detail::matching(this->state(), state, complaint);
  updates_ = detail::saved_count(*saved.back(), complaint);
  for (std::size_t i = 0; i < averages_.size(); ++i) averages_[i] = *saved[i];
}

}  // namespace rw
