#pragma once

// Internal to tools/export/.

#include <cstdint>
#include <map>
#include <onnx/onnx_pb.h>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/tools/export/sized_program.h>

namespace rw::detail {

using Attribute = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<std::string>,
                               onnx::GraphProto, onnx::TensorProto>;
using Attributes = std::vector<std::pair<std::string, Attribute>>;
using Inputs = std::vector<std::string>;

/// The type of elements in a file.
int onnx_type(DType dtype);

/// Writes the nodes of a file: names are unique in all of it, and numbers known now stand beside the outermost graph,
/// each once.
class Nodes {
 public:
  Nodes(onnx::GraphProto& graph, DType real) : top_(graph), graph_(&graph), real_(real) {}

  DType real() const { return real_; }
  onnx::GraphProto& top() { return top_; }

  /// Nodes go into this graph from now on; gives the one before.
  onnx::GraphProto* into(onnx::GraphProto* graph) { return std::exchange(graph_, graph); }
  /// A name that nothing has.
  std::string fresh(std::string_view hint);
  /// Takes a name. Throws Error when something has it.
  void take(const std::string& name);

  /// A node of one output; gives its name.
  std::string add(std::string_view op, const Inputs& inputs, const Attributes& attributes = {});
  /// A node of these outputs.
  void add(std::string_view op, const Inputs& inputs, const Inputs& outputs, const Attributes& attributes);

  /// Numbers that are known now, under this name or a similar one.
  std::string weights(const Array& value, std::string_view name);
  /// Numbers that are known now and are no weights: a node of the outermost graph, so that nobody takes them for some.
  std::string constant(const Array& value);
  std::string number(double value);
  std::string integers(const std::vector<std::int64_t>& values);

  /// A length as an i64 [1], and lengths as one list.
  std::string length(const Length& l);
  std::string lengths(const Lengths& all);
  /// The same, where -1 may stand for one that is not a number.
  std::string shape(const Lengths& all);

  /// Names of weights that others had, by what they were called instead.
  const std::map<std::string, std::string>& other_names() const { return other_names_; }

  // Names of lengths: i64 [1].
  std::string steps, batch;

 private:
  std::string kept(const std::string& key, onnx::TensorProto tensor, std::string_view name);

  onnx::GraphProto& top_;
  onnx::GraphProto* graph_;
  DType real_;
  std::set<std::string> names_;
  std::map<std::string, std::size_t> last_;       // number that made a hint unique
  std::map<std::string, std::string> constants_;  // by their bytes
  std::map<std::string, std::string> other_names_;
};

}  // namespace rw::detail
