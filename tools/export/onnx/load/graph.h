#pragma once

// Internal to tools/export/.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/tools/export/onnx_model.h>

namespace rw::detail::load {

/// Whole numbers, row-major, that are known while a graph is recorded: lengths, axes, positions.
struct Whole {
  Shape shape = {};
  std::vector<std::int64_t> values = {};
};

/// What stands in a file: reals or whole numbers (truth values are 1 and 0).
using Constant = std::variant<Array, Whole>;

struct Graph;
struct Operator;

using Attribute = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>, Constant, std::shared_ptr<const Graph>>;

/// Values have numbers in place of names, in all graphs of a file together.
using Slot = std::size_t;
inline constexpr Slot no_slot = static_cast<Slot>(-1);

struct Node {
  std::string type;
  std::string name;  // as it may stand in messages
  const Operator* op = nullptr;
  std::vector<Slot> inputs = {}, outputs = {};  // no_slot for one that is left out
  std::map<std::string, Attribute> attributes = {};

  /// "[LSTM] reason, in the node 'encoder'".
  Error error(const std::string& reason) const;
  /// Null when there is no such attribute. Throws Error for one of another type.
  template <class T>
  const T* find(const std::string& attribute) const {
    const auto at = attributes.find(attribute);
    if (at == attributes.end()) return nullptr;
    const T* value = std::get_if<T>(&at->second);
    if (value == nullptr) throw error("the attribute " + attribute + " is of another type");
    return value;
  }
  template <class T>
  T get(const std::string& attribute, T otherwise) const {
    const T* value = find<T>(attribute);
    return value == nullptr ? otherwise : *value;
  }
};

struct Graph {
  std::vector<Node> nodes = {};
  std::vector<Slot> inputs = {}, outputs = {};
};

/// A file that has been checked: every name is known where it is read.
struct File {
  Graph graph = {};
  int opset = 0;
  std::vector<OnnxModel::Port> inputs = {}, outputs = {};
  std::size_t slots = 0;
  std::vector<std::pair<Slot, Constant>> constants = {};
  std::vector<std::pair<Slot, std::string>> weights = {};  // and their names
};

}  // namespace rw::detail::load
