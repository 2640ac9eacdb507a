#pragma once

#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/core/array.h>

namespace rw::detail {

/// A function as data: what it records is taken off the tape again and kept here. While it records, nothing is
/// computed, as when `compile` traces.
class Section {
 public:
  explicit Section(Tape& tape);
  ~Section();
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  /// A stand-in for an argument, without a value.
  Tensor placeholder(const Shape& shape, DType dtype, bool needs_grad);
  /// Ends the recording. The tape is as it was, but for the draws and scopes that were opened.
  void end(std::span<const Tensor> outputs);

  /// Records the function again, many times at once: an argument of the section becomes `arguments[i]`, [size, ...].
  /// What does not depend on them is recorded once. Gives the outputs, each [size, ...].
  std::vector<Tensor> replay(Index size, std::span<const Tensor> arguments) const;

  /// What the function reads from the tape, each once; after `end`.
  const std::vector<Tensor>& outside() const { return outside_; }
  /// Records the function once more, also when the tape has gone on: `arguments[i]` for its arguments and `inputs[i]`
  /// for outside()[i].
  std::vector<Tensor> again(std::span<const Tensor> arguments, std::span<const Tensor> inputs) const;

 private:
  struct Item {
    const OpInfo* info = nullptr;
    const void* op = nullptr;
    std::vector<NodeId> in;  // as on the tape that was: from base_ on they are items
    Shape shape;
    Role role = Role::op;
    std::uint32_t scope = 0;
    NodeId origin = no_node;
    Index constant = -1, argument = -1;
    std::shared_ptr<Parameter::Data> parameter;
  };
  void keep(NodeId id);
  std::vector<bool> needed() const;
  void name_outside();
  Tensor record_leaf(const Item& item) const;

  TapeData& tape_;
  TapeMark before_;
  NodeId base_;
  bool traced_, in_section_, ended_ = false;
  Arena attributes_;
  std::vector<Item> items_;
  std::vector<Array> constants_;
  std::vector<NodeId> placeholders_, outputs_;
  std::vector<Tensor> outside_;
  std::unordered_map<NodeId, std::size_t> place_outside_;
};

/// Forgets what was recorded since, also where `Tape::rewind` cannot be called.
void forget_since(Tape& tape, const TapeMark& mark);

/// `f` for `size` examples at once, where argument i of example e is arguments[i][e].
std::vector<Tensor> map_examples(Tape& tape, Index size, std::span<const Tensor> arguments,
                                 const std::function<std::vector<Tensor>(std::span<const Tensor>)>& f);

/// Those that are of a real type, which alone have derivatives.
std::vector<Tensor> real_ones(std::span<const Tensor> all);

}  // namespace rw::detail
