#pragma once
// Data-parallel training whose bits do not depend on how many processes and threads there are.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/models/module.h>
#include <rewind/models/parallel/group.h>

namespace rw {

/// Gradients of a batch that is cut into a fixed number of shards. The processes of a group share the shards out among
/// themselves, and within a process threads do; every sum runs along one binary tree over the shards, so that weights
/// have the same bits for any number of processes and threads. How many shards belongs to the recipe: another number is
/// another rounding.
///
///     const auto group = open_group();
///     ShardedGradients sharded(model.parameters(), 8, *group);
///     for (...) {
///       const double loss = sharded.step([&](Index shard, Gradients& into) {
///         Tape tape;
///         const Tensor loss = mean(...the rows of this shard...) * (1.0 / 8);
///         backward(loss, into);
///         return loss.item();
///       });
///       clip_grad_norm(model.parameters(), 5);
///       optimizer.step();
///     }
///
/// What follows the sums (clipping, the optimizer) every process does for itself, on the same numbers. A process that
/// has no shard, of a group larger than their number, adds up its part of the parameters like the others. Where the
/// shards of a process make up several nodes of the tree, the first are sent while the gradients of the others are
/// computed; of the last one, which all have, nothing can be sent before its last gradient is there.
class ShardedGradients {
 public:
  /// Parameters are f32 or f64. Throws Error unless there is at least one shard. The group must outlive this.
  ShardedGradients(std::span<const NamedParameter> parameters, Index shards, Group& group = alone());
  ~ShardedGradients();
  /// What was moved from has no shards.
  ShardedGradients(ShardedGradients&&) noexcept;
  /// The same.
  ShardedGradients& operator=(ShardedGradients&&) noexcept;

  /// Of all processes together.
  Index shards() const { return shards_; }
  /// This process has the shards [first, last).
  Index first() const { return first_; }
  /// See `first`.
  Index last() const { return last_; }
  /// The processes that share the shards.
  Group& group() const { return *group_; }

  /// Calls `read` for each shard of this process, on threads; it adds the gradients of its part of the loss to `into`
  /// and returns that part. Then the sums over all shards are added to the parameters' gradients. Returns the loss.
  /// What `read` throws in one process ends the step in all of them: Error, and no gradient has changed.
  double step(const std::function<double(Index shard, Gradients& into)>& read);

  /// The sum over all shards of a number that needs no gradient: a held-out loss.
  double sum(const std::function<double(Index shard)>& read);

 private:
  struct Numbers;
  struct Sums;
  Numbers read_all(const std::function<double(Index shard)>& read, std::optional<std::string> error) const;
  std::optional<double> total(const Numbers& mine) const;

  Index shards_;
  Group* group_;
  Index first_, last_;
  std::unique_ptr<Sums> sums_;
};

}  // namespace rw
