#pragma once
// Gradients of one element type on their way from the shards of all processes to one sum.
#include <memory>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/models/parallel/group.h>
#include <rewind/models/parallel/tree.h>

namespace rw::detail {

/// Each process adds up the nodes of the tree that are whole in its shards, and sends each other process that one's
/// slice of the parameters; adds up its own slice over the nodes of all; and shows the sum to all. A step is `begin`,
/// `receive` for each number of a node, `collect` for each shard of this process, `send` for each node of
/// `own_nodes()`, in order, `wait`, and, unless some process has failed, `add_to_gradients`.
template <class T>
class NodeSums {
 public:
  NodeSums(Index shards, Group& group);

  /// One more parameter, once; before the first step.
  void add_parameter(std::shared_ptr<Parameter::Data> parameter);
  /// Throws Error for a gradient that was replaced by another shape.
  void check_gradients() const;

  /// The nodes that are whole in this process's shards, in order.
  const std::vector<ShardRange>& own_nodes() const { return own_; }

  /// A step begins: with memory for it.
  void begin();
  /// The most nodes that a process has.
  std::size_t most_nodes() const;
  /// Begins to receive the `number`-th node of each other process that has so many.
  void receive(std::size_t number);
  /// Takes the sums out of `gradients`. Any thread may, for another shard each.
  void collect(Index shard, Gradients& gradients);
  /// Adds up a node of `own_nodes()` and sends it. Its shards have been collected; where one has failed, what is sent
  /// means nothing.
  void send(std::size_t number);
  /// Until the nodes of all have come, and its own have gone.
  void wait();
  /// Adds the sums over all shards to the parameters' gradients.
  void add_to_gradients();

 private:
  // The part of the parameters that a process adds up.
  struct Slice {
    std::size_t begin, end;
    std::size_t size() const { return end - begin; }
  };
  struct Node {
    int rank;
    std::size_t number;  // among those of its process
    ShardRange range;
  };
  // Elements of a parameter that are added at a time.
  struct Block {
    std::size_t parameter, begin, end;
  };
  std::size_t size() const { return begins_.back(); }
  Slice slice_of(int rank) const;
  std::vector<Array>& collected(Index shard) { return collected_[static_cast<std::size_t>(shard - mine_.first)]; }
  void add_up(std::size_t number);
  std::vector<T*> own_slices();
  const T* all_sums();

  Index shards_;
  Group* group_;
  ShardRange mine_;
  std::vector<ShardRange> own_;
  std::vector<Node> nodes_;  // of all processes, in order
  std::vector<std::shared_ptr<Parameter::Data>> parameters_;
  std::vector<std::size_t> begins_{
      0};                      // of each parameter, where all are one behind the other, and where the last ends
  std::vector<Block> blocks_;  // of all parameters
  std::vector<std::vector<Array>> collected_;  // of this process's shards, by parameter; none of one that has failed
  std::vector<std::vector<T>> added_;          // its nodes
  std::vector<T> received_;                    // this process's slice of each node of the others
  std::vector<T> sums_;
  std::vector<std::unique_ptr<Transfer>> under_way_;
};

extern template class NodeSums<float>;
extern template class NodeSums<double>;

}  // namespace rw::detail
