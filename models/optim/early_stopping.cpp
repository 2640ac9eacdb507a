#include <cmath>
#include <string>

#include <rewind/core/error.h>
#include <rewind/models/optim/early_stopping.h>
#include <rewind/models/weights/state_arrays.h>

namespace rw {

EarlyStopping::EarlyStopping(std::span<const NamedParameter> parameters, const EarlyStoppingOptions& options)
    : parameters_(parameters), options_(options) {
  if (options.patience < 1)
    throw Error("early stopping: patience must be at least 1, not " + std::to_string(options.patience));
  if (!(options.margin >= 0))
    throw Error("early stopping: the margin must not be negative, but is " + std::to_string(options.margin));
  for (const NamedParameter& p : parameters_.all()) weights_.push_back(p.parameter->value());
}

bool EarlyStopping::observe(double loss) {
  if (loss < best_ - options_.margin) {
    best_ = loss;
    since_best_ = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) copy(parameters_.all()[i].parameter->value(), weights_[i].view());
  } else {
    ++since_best_;
  }
  return stopped();
}

void EarlyStopping::restore() const {
  for (std::size_t i = 0; i < weights_.size(); ++i) parameters_.all()[i].parameter->set(weights_[i]);
}

std::vector<NamedArray> EarlyStopping::state() const {
  std::vector<NamedArray> all;
  for (std::size_t i = 0; i < weights_.size(); ++i) all.push_back({parameters_.all()[i].name + ".best", weights_[i]});
  for (NamedArray& a : detail::scalar_arrays({{"best", best_}, {"since_best", static_cast<double>(since_best_)}}))
    all.push_back(std::move(a));
  return all;
}

void EarlyStopping::set_state(std::span<const NamedArray> state) {
  const std::string complaint = "the saved state is not of this early stopping";
  const auto saved = detail::matching(this->state(), state, complaint);
  const std::size_t n = weights_.size();
  const double best = saved[n]->item();
  if (std::isnan(best)) throw Error(complaint + ": its best loss is nan");
  since_best_ = detail::saved_count(*saved[n + 1], complaint);
  best_ = best;
  for (std::size_t i = 0; i < n; ++i) weights_[i] = *saved[i];
}

}  // namespace rw
