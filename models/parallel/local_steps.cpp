#include <set>
#include <utility>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/parallel/local_steps.h>

namespace rw {
namespace {

/// Throws Error unless the copy has what the model has.
void require_copy(const std::vector<NamedParameter>& model, const std::vector<NamedParameter>& copy, Index shard) {
  if (copy.size() != model.size())
    throw Error(fmt::format("LocalSteps: the copy of shard {} has {} parameters, the model {}", shard, copy.size(),
                            model.size()));
  for (std::size_t i = 0; i < model.size(); ++i) {
    const Parameter &theirs = *copy[i].parameter, &ours = *model[i].parameter;
    if (theirs.shape() != ours.shape() || theirs.dtype() != ours.dtype())
      throw Error(fmt::format("LocalSteps: the copy of shard {} has {} of {} in the place of the model's {} of {}",
                              shard, copy[i].name, theirs.shape().str(), model[i].name, ours.shape().str()));
  }
}

}  // namespace

LocalSteps::LocalSteps(std::vector<NamedParameter> parameters, ShardedGradients& sharded,
                       const LocalStepsOptions& options)
    : parameters_(std::move(parameters)),
      sharded_(&sharded),
      outer_(parameters_, {.rate = options.rate, .momentum = options.momentum, .nesterov = options.momentum > 0}) {}

void LocalSteps::meet(const std::function<std::vector<NamedParameter>(Index)>& copy) {
  for (const NamedParameter& p : parameters_) p.parameter->zero_grad();
  sharded_->step([&](Index shard, Gradients& into) {
    const std::vector<NamedParameter> theirs = copy(shard);
    require_copy(parameters_, theirs, shard);
    add_way(theirs, into);
    return 0.0;
  });
  outer_.step();
  for (Index shard = sharded_->first(); shard < sharded_->last(); ++shard) {
    const std::vector<NamedParameter> theirs = copy(shard);
    for (std::size_t i = 0; i < theirs.size(); ++i) theirs[i].parameter->set(parameters_[i].parameter->value());
  }
}

/// From the copy back to where it began, its share of the mean. A tied parameter counts once.
void LocalSteps::add_way(const std::vector<NamedParameter>& copy, Gradients& into) const {
  const double share = 1.0 / static_cast<double>(sharded_->shards());
  std::set<const Parameter::Data*> done;
  for (std::size_t i = 0; i < copy.size(); ++i) {
    const Parameter& model = *parameters_[i].parameter;
    if (!done.insert(model.data().get()).second) continue;
    const auto add = [&]<class T>(const T* from, const T* to, T* way) {
      for (Index k = 0; k < model.size(); ++k) way[k] += (from[k] - to[k]) * static_cast<T>(share);
    };
    const Array &from = model.value(), &to = copy[i].parameter->value();
    Array& way = into.sum(model.data());
    visit_real(model.dtype(),
               [&]<class T>() { add(from.span<T>().data(), to.span<T>().data(), way.span<T>().data()); });
  }
}

}  // namespace rw
