#pragma once

// Internal to tools/export/.

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <rewind/tools/export/onnx/forms.h>
#include <rewind/tools/export/onnx/nodes.h>
#include <rewind/tools/export/onnx/recurrent.h>
#include <rewind/tools/export/sized_program.h>

namespace rw::detail {

/// Writes a program's items as nodes: a loop of as many steps as the sequence has is a recurrent operator or a Scan,
/// and a loop of a known number of steps is written out.
class ProgramWriter {
 public:
  /// `inputs` are the names of the program's inputs, by number. All must outlive the writer.
  ProgramWriter(const SizedProgram& program, Nodes& nodes, std::vector<std::string> inputs,
                const std::vector<NamedParameter>& names);

  void run() { items(0, program_.program().items.size()); }
  /// The name of a result, once the program has been written.
  std::string output(std::size_t k) { return value(program_.output(k), nullptr); }

 private:
  /// A value of an op at given steps of the loops around it; a step of a loop that is kept is `any`.
  static constexpr Index any = -1;
  struct Key {
    std::uint32_t op = 0;
    std::vector<Index> steps = {};
    auto operator<=>(const Key&) const = default;
  };
  /// A loop that items are in: written out, at step t, or kept.
  struct Around {
    std::size_t item = 0;
    bool kept = false;
    Index t = 0;
  };
  /// What a step reads of something outside: one element after the other, along an axis, or backwards.
  struct Element {
    std::string from, name;
    std::int64_t axis = 0;
    bool backwards = false;
  };
  /// What the step before has left, or an earlier one.
  struct Carried {
    Key of;
    std::string start, name;
    std::string next = {};  // what it is after the step, if that is not the value itself
  };
  struct Scan {
    Length trips;
    onnx::GraphProto* outer = nullptr;
    onnx::GraphProto body = {};
    std::vector<Element> elements = {};
    std::vector<Carried> carried = {};
  };
  /// A loop that has been written: more of its values may be asked for.
  struct Written {
    Length trips;
    onnx::NodeProto* node = nullptr;
    onnx::GraphProto* body = nullptr;
    std::map<Key, std::string> stacked = {}, reversed = {}, last = {};
  };
  void items(std::size_t at, std::size_t end);
  void loop(std::size_t at);
  std::optional<Recurrent> recognized(std::size_t at);
  void scan(std::size_t at, const Length& trips);
  void recurrent(std::size_t at, const Recurrent& r);
  void finish(std::size_t at, Scan& s);
  void op(std::uint32_t i);
  bool element_of_slice(std::uint32_t i);
  Key key_of(std::uint32_t op) const;
  ir::PerLoop steps_now(std::uint32_t i) const;
  ReadOf read_now(ReadOf out) const;

  std::vector<Operand> operands(std::uint32_t i);
  Operand many(std::uint32_t i, std::uint32_t input, Index further, const Length& count);
  Operand one(std::uint32_t i, std::uint32_t input, Index further);
  std::string value(const SizedSource& s, const ReadOf* reader);
  std::string leaf(std::int32_t number);
  std::string in_loop(const SizedSource& s, const ReadOf& reader, Key key, std::size_t j);
  std::string of_written(const SizedSource& s, const ReadOf* reader, Key key, std::size_t j);
  std::string carried(const Key& key, const ReadOf& reader, Index back);
  std::string carried(const Key& key, const std::string& start, const std::string& next);
  SizedSource at_step(const ReadOf& reader, Index t) const;
  std::string element(std::string from, std::int64_t axis, const Length& first, bool backwards, const Length& length,
                      const Lengths& shape, DType dtype);
  std::string reversed(const std::string& name);
  std::string stacked(Written& w, const Key& key);
  /// A step as a length, when it is the same at all steps of the loops that are kept.
  std::optional<Length> fixed(const SizedStep& step) const;
  Written& written(std::size_t item, const Key& key, std::size_t j);
  template <class F>
  auto outside(F&& f);

  const SizedProgram& program_;
  Nodes& nodes_;
  std::vector<std::string> inputs_;
  const std::vector<NamedParameter>& names_;
  Recognizer recognizer_;
  std::vector<Around> around_;
  Scan* scan_ = nullptr;
  std::map<Key, std::string> values_;
  std::map<Key, std::string> one_step_;                           // of a slice at one step: without its axis
  std::map<std::string, std::pair<std::string, Lengths>> uncut_;  // what was put end to end, one beside the other
  std::map<std::pair<std::size_t, std::vector<Index>>, Written> written_;
  std::map<std::int32_t, std::string> leaves_;
};

/// What describes a tensor of a graph.
onnx::ValueInfoProto value_info(const std::string& name, const Lengths& shape, DType dtype);

/// Removes nodes and numbers that nothing reads. Numbers with another name than they wanted get that one if it has
/// become free.
void prune(onnx::GraphProto& graph, const std::map<std::string, std::string>& other_names);

}  // namespace rw::detail
