#pragma once

// What a Tape owns. Internal to autograd/: use Tape.

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/detail/released_values.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/tape.h>
#include <rewind/core/arena.h>

namespace rw::detail {

inline std::size_t bytes_of(const Shape& shape, DType dtype) {
  return static_cast<std::size_t>(shape.size()) * size_of(dtype);
}

/// Where handles find their tape. Slots are made with tapes, recycled and never freed, so that a handle that outlives
/// its tape can still be told so; stamps go on counting when a slot is used again. A handle has the slot's number: 16
/// bytes travel in two registers.
struct Slot {
  std::atomic<TapeData*> tape{nullptr};
  std::uint64_t next_stamp = 1;
  std::atomic<std::uint64_t> first_stamp{1};  // of the tape that uses it now
  std::uint32_t number = 0;                   // from 1
};

inline constexpr std::uint32_t slots_in_block = 1024, slot_blocks = 4096;
extern std::atomic<Slot*> slot_table[slot_blocks];

inline const Slot& slot_of(std::uint32_t number) {
  return slot_table[number / slots_in_block].load(std::memory_order_acquire)[number % slots_in_block];
}
/// The tape that made `stamp` in slot `number`, or null when it is gone. A tape that uses the slot now may be another
/// thread's: it is not looked at.
inline TapeData* tape_of_slot(std::uint32_t number, std::uint64_t stamp) {
  const Slot& slot = slot_of(number);
  TapeData* tape = slot.tape.load(std::memory_order_acquire);
  return stamp < slot.first_stamp.load(std::memory_order_relaxed) ? nullptr : tape;
}

class TapeData {
 public:
  TapeData(Tape* owner, const TapeOptions& options);
  ~TapeData();

  // record.cpp
  Tensor record(const OpInfo& info, const void* op, const Operands& inputs);
  NodeId resolve(const Operand& operand);
  NodeId append(const OpInfo& info, const void* op, std::span<const NodeId> inputs, Shape shape, DType dtype);
  NodeId leaf(const OpInfo& info, Role role, const Shape& shape, DType dtype, bool needs_grad);
  NodeId leaf_of(const Parameter& parameter) { return leaf_of(parameter.data()); }
  NodeId leaf_of(const std::shared_ptr<Parameter::Data>& parameter);
  NodeId number(double value);
  void evaluate(NodeId id);
  void* allocate_value(std::size_t bytes);
  void evaluate_into(const Node& node, View y, bool add);

  // handles
  static TapeData& of(const Tensor& t);
  static TapeData* find(const Tensor& t);
  NodeId id(const Tensor& t) const;
  Tensor tensor(NodeId id) const { return Tensor(slot->number, id, nodes[id].stamp); }
  [[noreturn]] static void throw_stale(const Tensor& t);

  // tape.cpp
  void truncate(const TapeMark& mark);
  /// Whether gradients were taken, and a parameter that was recorded after the mark has changed since.
  bool forgets_an_update(const TapeMark& mark) const;
  void forget_nodes(const TapeMark& mark);  // and not the gradients
  TapeMark mark() const;
  std::string where(std::uint32_t scope) const;  // ", in lstm/t=3", or nothing
  std::string describe(NodeId id) const;
  void forget_gradients(NodeId from);
  [[noreturn]] void throw_no_value(NodeId id) const;

  struct NameHash {  // finds a name without making a string of it
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  struct ScopeEntry {
    std::uint32_t parent = 0, name = 0;
    Index number = -1;
  };
  struct ReadParameter {
    std::shared_ptr<Parameter::Data> parameter;
    NodeId node = no_node;
    std::uint64_t version = 0;
    bool substituted = false;
  };

  Tape* owner;
  Slot* slot;
  TapeOptions options;
  std::vector<Node> nodes;
  Arena values;   // a stack: values, in the order of recording
  Arena records;  // a stack: attributes and inputs of nodes
  Arena blocks;   // gradients, which come and go

  // Parameter leaves, and an index by address of the parameter's data (open addressing, a power of two).
  std::vector<ReadParameter> leaves;
  std::vector<std::uint32_t> leaf_index;
  std::vector<std::pair<std::shared_ptr<Parameter::Data>, Array>> substitutes;

  std::vector<void*> gradients;              // kept ones; by node
  std::vector<std::uint8_t> gradient_terms;  // of a sweep: whole terms in the last block of each gradient's sum
  std::vector<bool> flags;                   // scratch of a sweep
  std::vector<NodeId> pending;               // scratch of a rule
  bool has_released = false;                 // values, on this tape since it was cleared
  ReleasedValues released;

  std::vector<ScopeEntry> scopes{1};
  std::vector<std::string> scope_names;
  std::unordered_map<std::string, std::uint32_t, NameHash, std::equal_to<>> scope_ids;
  std::uint32_t scope = 0;

  // While a plain backward runs a rule, ops are appended but not computed before their value is wanted.
  bool lazy = false;
  NodeId rule_nodes = 0;    // the first of them
  bool in_rule = false;     // a plain backward runs a rule
  bool in_section = false;  // a transform records without values (see transform/section.h)
  bool as_traced = false;   // what was traced is computed again: nothing is decided by values that a trace cannot see
  bool recording_gradients = true;
  NodeId origin = no_node;
  std::uint32_t draws = 0;
  std::uint64_t step = 0;
  bool gradients_taken = false;  // in this step
  NodeId random_key = no_node;

  // Where a plain backward adds gradients, and keeps all values; null: to the parameters, and as it is told.
  Gradients* gradients_to = nullptr;
  // Gradient rules that users gave for functions: nodes have their number (see transform/closure.h).
  std::vector<std::shared_ptr<const std::function<void(Vjp&)>>> rules;
  // Parameters for which other nodes stand, the newest last: what a transform differentiates along.
  using Bindings = std::vector<std::pair<std::shared_ptr<Parameter::Data>, NodeId>>;
  Bindings bindings;

  // A traced backward: parameters and the nodes that are their gradients.
  std::vector<std::pair<std::shared_ptr<Parameter::Data>, NodeId>> effects;

 private:
  bool are_of_one_shape(const Operands& inputs, int arity, NodeId* ids);
  NodeId known_leaf(const std::shared_ptr<Parameter::Data>& parameter);
  Tensor record_of_one_shape(const OpInfo& info, const void* op, std::span<const NodeId> in);
  [[noreturn]] void rethrow_from(const OpInfo& info) const;
  void check_inputs(const OpInfo& info, std::span<const NodeId> in) const;
  std::uint32_t* leaf_slot(const Parameter::Data* parameter);
  void grow_leaf_index();
  friend class rw::Tape;
  friend Tensor detail::record(const OpInfo& info, const void* op, const Operands& inputs);
};

}  // namespace rw::detail
