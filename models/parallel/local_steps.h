#pragma once
// Shards that train copies of the model by themselves and meet now and then: for networks that are too slow for sums of
// gradients at every step.
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <rewind/models/optim/optimizer.h>
#include <rewind/models/parallel/sharded.h>

namespace rw {

/// The outer step: SGD with Nesterov's momentum; the values that Douillard et al. found best.
struct LocalStepsOptions {
  double rate = 0.7;
  double momentum = 0.9;
};

/// DiLoCo (Douillard et al., "DiLoCo: Distributed low-communication training of language models", 2023): each shard has
/// a copy of the model and an optimizer of its own, AdamW in the paper, and makes some hundred steps with them. Then
/// the copies meet: the mean over shards of how far they went is the gradient of an outer step, after which all begin
/// again from the same weights. The mean runs along the tree of `ShardedGradients`, so that weights have the same bits
/// for any number of processes and threads.
///
///     ShardedGradients sharded(model.parameters(), 8, *group);
///     LocalSteps local(model.parameters(), sharded);
///     for (...) {
///       sharded.sum([&](Index shard) { ...a step of copy(shard) with its own optimizer... });
///       if (++steps % 100 == 0) local.meet([&](Index shard) { return copy(shard).parameters(); });
///     }
class LocalSteps {
 public:
  /// What the model is: `meet` leaves its weights there. Throws Error for a rate or momentum that is none. `sharded` is
  /// made for the same parameters and outlives this.
  LocalSteps(std::vector<NamedParameter> parameters, ShardedGradients& sharded, const LocalStepsOptions& options = {});

  /// `copy` gives the parameters of a shard's copy, in the order of the model's; it is asked for the shards of this
  /// process. For all processes to call together. Gradients of the model's parameters are forgotten. Throws Error, in
  /// all processes, and nothing else is changed, for a copy whose parameters are not the model's.
  void meet(const std::function<std::vector<NamedParameter>(Index shard)>& copy);

  /// All that is needed to go on to the same bits: the outer step's momentum.
  std::vector<NamedArray> state() const { return outer_.state(); }
  /// See Optimizer::set_state.
  void set_state(std::span<const NamedArray> state) { outer_.set_state(state); }

 private:
  void add_way(const std::vector<NamedParameter>& copy, Gradients& into) const;

  std::vector<NamedParameter> parameters_;
  ShardedGradients* sharded_;
  Sgd outer_;
};

}  // namespace rw
