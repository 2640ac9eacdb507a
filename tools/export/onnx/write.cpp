#include <ostream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/version.h>
#include <rewind/tools/export/onnx.h>
#include <rewind/tools/export/onnx/loops.h>

namespace rw {
namespace {

using namespace detail;

constexpr int opset = 17, ir_version = 8;

DType real_of(const RecordedSequence& sequence) { return sequence.traces[0].tape.dtype(); }

Lengths lengths_of(const SizedProgram& program, const std::array<Tensor, 3>& t) {
  Lengths out;
  for (int a = 0; a < t[0].shape().rank(); ++a)
    out.push_back(program.length_of({t[0].size(a), t[1].size(a), t[2].size(a)}, ir::no_entry));
  return out;
}

void write_graph(onnx::GraphProto& graph, const RecordedSequence& sequence) {
  const SizedProgram program(sequence);
  Nodes nodes(graph, real_of(sequence));
  const auto& t = sequence.traces;
  std::vector<std::string> inputs;
  const auto input = [&](const std::string& name, const std::array<Tensor, 3>& tensors) {
    nodes.take(name);
    inputs.push_back(name);
    *graph.add_input() = value_info(name, lengths_of(program, tensors), tensors[0].dtype());
  };
  input("x", {t[0].x, t[1].x, t[2].x});
  for (std::size_t i = 0; i < t[0].state.size(); ++i)
    input(fmt::format("state{}", i), {t[0].state[i], t[1].state[i], t[2].state[i]});
  std::vector<std::string> outputs{"y"};
  for (std::size_t i = 0; i < t[0].last.size(); ++i) outputs.push_back(fmt::format("last{}", i));
  for (const std::string& o : outputs) nodes.take(o);
  nodes.steps = nodes.add("Shape", {"x"}, {{"start", std::int64_t{0}}, {"end", std::int64_t{1}}});
  nodes.batch = nodes.add("Shape", {"x"}, {{"start", std::int64_t{1}}, {"end", std::int64_t{2}}});
  ProgramWriter writer(program, nodes, inputs, sequence.names);
  writer.run();
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    nodes.add("Identity", {writer.output(k)}, {outputs[k]}, {});
    const auto tensor = [&](std::size_t i) { return k == 0 ? t[i].y : t[i].last[k - 1]; };
    *graph.add_output() =
        value_info(outputs[k], lengths_of(program, {tensor(0), tensor(1), tensor(2)}), tensor(0).dtype());
  }
  prune(graph, nodes.other_names());
}

}  // namespace

std::string make_onnx(const RecordedSequence& sequence, const OnnxOptions& options) {
  onnx::ModelProto model;
  model.set_ir_version(ir_version);
  model.set_producer_name("rewind");
  model.set_producer_version(std::string(version()));
  onnx::OperatorSetIdProto& set = *model.add_opset_import();
  set.set_domain("");
  set.set_version(opset);
  model.mutable_graph()->set_name(options.name.empty() ? "model" : options.name);
  write_graph(*model.mutable_graph(), sequence);
  std::string bytes;
  if (model.ByteSizeLong() > 0x7fffffff || !model.SerializeToString(&bytes))
    throw Error("write_onnx: the model has more than the 2 GB that a file of ONNX can have");
  return bytes;
}

void write_onnx(std::ostream& out, const RecordedSequence& sequence, const OnnxOptions& options) {
  const std::string bytes = make_onnx(sequence, options);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace rw
