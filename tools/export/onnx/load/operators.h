#pragma once

// Internal to tools/export/.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/tools/export/onnx/load/graph.h>

namespace rw::detail::load {

/// What a name stands for while a graph runs: nothing, for what is left out, a recorded value, or whole numbers that
/// are known.
using Value = std::variant<std::monostate, Tensor, Whole>;
using Values = std::vector<Value>;

/// A file's values while it is recorded on a tape.
class Run {
 public:
  /// `weights` in the file's order. All must outlive this.
  Run(Tape& tape, const File& file, const std::vector<Parameter*>& weights);

  Tape& tape() const { return tape_; }
  int opset() const { return file_.opset; }
  Value& at(Slot slot) { return values_[slot]; }
  const Value& at(Slot slot) const { return values_[slot]; }
  /// Runs the nodes, one after the other, whose inputs have their values.
  void graph(const Graph& graph);

 private:
  Values run(const Node& node);
  void count(const Node& node, const Values& results);

  Tape& tape_;
  const File& file_;
  Values values_;
  std::size_t nodes_ = 0, numbers_ = 0;  // that were run, and whole numbers that they gave
};

/// A node that runs. Inputs are counted from 0.
class Call {
 public:
  Call(Run& run, const Node& node) : run_(run), node_(node) {}

  Run& run() const { return run_; }
  Tape& tape() const { return run_.tape(); }
  int opset() const { return run_.opset(); }
  const Node& node() const { return node_; }
  /// "[Reshape] reason, in the node's scope".
  Error error(const std::string& reason) const { return tape().error(node_.type, reason); }

  std::size_t inputs() const { return node_.inputs.size(); }
  std::size_t outputs() const { return node_.outputs.size(); }
  bool has(std::size_t i) const;
  bool wants(std::size_t output) const { return output < outputs() && node_.outputs[output] != no_slot; }
  /// Throws Error when it is left out.
  const Value& value(std::size_t i) const;
  bool is_whole(std::size_t i) const { return has(i) && std::holds_alternative<Whole>(value(i)); }
  bool all_whole() const;
  /// Throws Error for numbers that only running the graph would tell.
  const Whole& whole(std::size_t i) const;
  /// The same for one number.
  std::int64_t number(std::size_t i) const;
  /// Whole numbers become i32.
  Tensor tensor(std::size_t i) const { return tensor(value(i)); }
  Tensor tensor(const Value& value) const;
  /// Throws Error for whole numbers.
  Tensor real(std::size_t i) const;
  /// A mask: known truth values become 1 and 0.
  Tensor mask(std::size_t i) const;
  Shape shape(std::size_t i) const;
  /// An axis of a shape, counted from its front. Throws Error when there is no such one.
  int axis(std::int64_t axis, int rank) const;
  /// Axes from an attribute, or in later opsets from an input. Nothing where neither is there.
  std::optional<std::vector<std::int64_t>> axes(const char* attribute, std::size_t input) const;

 private:
  Run& run_;
  const Node& node_;
};

struct Operator {
  std::string_view type;
  std::size_t least = 1, most = 1;  // inputs
  std::size_t outputs = 1;          // at most
  Values (*run)(const Call&) = nullptr;
  void (*check)(const Node&) = nullptr;  // when a file is read
};
inline constexpr std::size_t any_number = static_cast<std::size_t>(-1);

/// Null for one that is not known.
const Operator* find_operator(const std::string& type);
/// Throws Error for a number of inputs or outputs that its operator does not have, and for options that are not known.
void check_node(const Node& node);

// The operators, by what they do.
std::vector<Operator> elementwise_operators();
std::vector<Operator> sum_operators();
std::vector<Operator> view_operators();
std::vector<Operator> row_operators();
std::vector<Operator> shape_operators();
std::vector<Operator> recurrent_operators();
std::vector<Operator> loop_operators();

}  // namespace rw::detail::load
