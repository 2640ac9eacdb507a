#pragma once

// The sweep of a plain backward. Internal to autograd/: use backward.

#include <rewind/autograd/detail/sweep.h>

namespace rw::detail {

inline std::size_t bytes_of(const Node& n) { return bytes_of(n.shape, n.dtype); }

/// Gradients as numbers: each node's lives from its first contribution until its own rule has run. Elementwise rules
/// are one loop an input; other rules record their ops lazily, and only what is added is computed, straight into the
/// gradient.
class PlainSweep final : public Sweep {
 public:
  PlainSweep(TapeData& tape, const BackwardOptions& options, LeafSums* sums = nullptr)
      : Sweep(tape), options_(options), sums_(sums) {
    tape_.forget_gradients(0);
    tape_.gradients.assign(tape_.nodes.size(), nullptr);
    tape_.gradient_terms.assign(tape_.nodes.size(), 0);
  }
  ~PlainSweep() override { tape_.lazy = tape_.in_rule = false; }

  void run(NodeId root);
  void seed(NodeId root);
  void seed(const Seed& seed);
  void attach_sums();
  void detach_sums();
  void commit(Gradients* into);
  void forget_leaves();

  void add(NodeId to, Tensor g) override;
  void add_slice(NodeId to, Tensor g, int axis, Index start) override;

 private:
  void fetch_ahead(NodeId id) const;
  void generic_rule(NodeId id);
  bool one_shape_rule(NodeId id);
  std::size_t takeover_input(NodeId id) const;
  void move_gradient(NodeId from, NodeId to);
  void slice_rule(NodeId id);
  void reshape_rule(NodeId id);
  void stretched_input(NodeId id, std::size_t input, std::span<const ConstView> x);
  void add_summed(NodeId to, ConstView g);
  void add_to(NodeId to, ConstView g);
  void add_part(NodeId to, ConstView part, Index axis, Index start);
  void elementwise_rule(NodeId id);
  void elementwise_input(NodeId id, std::size_t input, std::span<const ConstView> x);
  void compute_below(NodeId id);
  void pin_viewed(NodeId root);
  void release_value(NodeId id);

  bool keeps_gradient(NodeId id) const {
    const Node& n = tape_.nodes[id];
    return options_.keep_grads || n.keep || n.role == Role::input;
  }
  View gradient(NodeId id) {
    return contiguous_view(tape_.gradients[id], tape_.nodes[id].shape, tape_.nodes[id].dtype);
  }
  // Whether a whole gradient may become this node's as it stands: none has begun, and its place is the tape's. One that
  // goes on from tape to tape has a place of its own, in which nobody would look for it otherwise.
  bool may_be_given(NodeId id) const { return tape_.gradients[id] == nullptr && !sums_apart(id); }
  // Makes room for the gradient of a node unless it has some; returns whether it did.
  bool make_gradient(NodeId id) {
    if (tape_.gradients[id] != nullptr) return false;
    const Node& n = tape_.nodes[id];
    tape_.gradients[id] = sums_apart(id) ? sum_of(id).block.view().data : tape_.blocks.take(bytes_of(n));
    return true;
  }
  // Whether a whole term that is about to be added to the gradient begins it, or begins it anew: then it is set and not
  // added. (Parts do not count: a gradient of many parts is as long a sum as its elements have.)
  bool begins(NodeId id) {
    if (make_gradient(id)) {
      tape_.gradient_terms[id] = 1;
      return true;
    }
    if (tape_.gradient_terms[id] < LongSum::block) {
      ++tape_.gradient_terms[id];
      return false;
    }
    (sums_apart(id) ? sum_of(id).aside : aside_[id]).set_aside(gradient(id));
    tape_.gradient_terms[id] = 1;
    return true;
  }
  // Once nothing more comes, the gradient is all of its terms.
  void complete(NodeId id) {
    if (aside_.empty()) return;
    const auto found = aside_.find(id);
    if (found != aside_.end()) found->second.add_to(gradient(id));
  }
  // Whether the gradient goes on from tape to tape.
  bool sums_apart(NodeId id) const { return sums_ != nullptr && tape_.nodes[id].role == Role::parameter; }
  SplitBackward::Sum& sum_of(NodeId leaf) {
    const Node& n = tape_.nodes[leaf];
    return sums_->try_emplace(tape_.leaves[n.parameter].parameter, SplitBackward::Sum{Array(n.shape, n.dtype), {}, 0})
        .first->second;
  }
  void free_gradient(NodeId id) {
    tape_.blocks.release(tape_.gradients[id], bytes_of(tape_.nodes[id]));
    tape_.gradients[id] = nullptr;
  }

  const BackwardOptions& options_;
  LeafSums* sums_;
  std::unordered_map<NodeId, LongSum> aside_;  // of the gradients of many terms
};

}  // namespace rw::detail
