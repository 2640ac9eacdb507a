#include <algorithm>
#include <array>
#include <istream>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/export/onnx/load/operators.h>
#include <rewind/tools/export/onnx/load/parse.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw {
namespace {

using namespace detail::load;

constexpr std::size_t most_parts = 32;  // of a dotted name
constexpr std::size_t most_bytes = 0x7fffffff;

/// A group of weights: "encoder" of "encoder.weight".
class Part : public Module {
 public:
  using Module::Module;
  Part& part(const std::string& name) {
    Part*& found = parts_[name];
    if (found == nullptr) found = &child(name, Part(name));
    return *found;
  }
  Parameter& weight(const std::string& name, Array value) {
    names_.insert(name);
    return param(name, std::move(value));
  }
  /// The name, or that with "_", "_2", "_3", ..., that no weight has.
  std::string name_for_part(const std::string& name) {
    return free_name(name, [&](const std::string& n) { return names_.contains(n); });
  }
  /// And no part.
  std::string name_for_weight(const std::string& name) {
    return free_name(name, [&](const std::string& n) { return names_.contains(n) || parts_.contains(n); });
  }

 private:
  template <class Taken>
  std::string free_name(const std::string& name, const Taken& taken) {
    if (!taken(name)) return name;
    for (int& n = numbers_[name];;)
      if (std::string next = name + (++n == 1 ? "_" : "_" + std::to_string(n)); !taken(next)) return next;
  }

  std::map<std::string, Part*> parts_;
  std::set<std::string> names_;
  std::map<std::string, int> numbers_;  // by name: the last one that was tried
};

/// What is between the dots, as it may stand in messages. One part where a dot begins, ends or follows another.
std::vector<std::string> parts_of(const std::string& name) {
  std::string text = shown(name, 1000);
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  const bool empty = std::any_of(parts.begin(), parts.end(), [](const std::string& p) { return p.empty(); });
  if (!empty && parts.size() <= most_parts) return parts;
  std::replace(text.begin(), text.end(), '.', '_');
  return {text};
}

/// Makes the parameter of this dotted name; a name that something else has gets "_" at its end, or "_2", ....
Parameter& weight(Part& root, const std::string& name, Array value) {
  std::vector<std::string> parts = parts_of(name);
  Part* at = &root;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    at = &at->part(at->name_for_part(parts[i]));
  }
  return at->weight(at->name_for_weight(parts.back()), std::move(value));
}

std::string listed(const std::vector<OnnxModel::Port>& ports) {
  std::vector<std::string> names;
  names.reserve(ports.size());
  for (const OnnxModel::Port& p : ports) names.push_back("'" + shown(p.name) + "'");
  if (names.size() > 20) names.resize(20), names.emplace_back("...");
  return fmt::format("{}", fmt::join(names, ", "));
}

void check_input(const OnnxModel::Port& port, const Tensor& x) {
  const Shape shape = x.shape();
  bool fits = is_real(x.dtype()) == is_real(port.dtype);
  if (port.has_shape) {
    fits = fits && shape.rank() == static_cast<int>(port.shape.size());
    for (std::size_t a = 0; fits && a < port.shape.size(); ++a)
      fits = port.shape[a] < 0 || port.shape[a] == shape[static_cast<int>(a)];
  }
  if (fits) return;
  std::vector<std::string> lengths;
  for (const Index n : port.shape) lengths.push_back(n < 0 ? "any" : std::to_string(n));
  throw Error(fmt::format("input '{}' is {} {}, not {} {}", shown(port.name), is_real(port.dtype) ? "real" : "i32",
                          port.has_shape ? fmt::format("({})", fmt::join(lengths, ", ")) : "of any shape",
                          name_of(x.dtype()), shape.str()));
}

Tensor tensor_of(Tape& tape, const Value& value, const std::string& output) {
  if (const auto* tensor = std::get_if<Tensor>(&value)) return *tensor;
  try {
    return tape.constant(to_i32(std::get<Whole>(value)));
  } catch (const Error& e) {
    throw Error(fmt::format("output '{}': {}", shown(output), e.what()));
  }
}

OnnxModel load(const std::string& bytes, const std::string& source) {
  try {
    Parsed parsed = parse(bytes);
    return OnnxModel(std::make_shared<const File>(std::move(parsed.file)), std::move(parsed.weights));
  } catch (const Error& e) {
    throw Error(source + ": " + e.what());
  }
}

}  // namespace

OnnxModel::OnnxModel(std::shared_ptr<const File> file, std::vector<Array> weights)
    : Module("onnx"), file_(std::move(file)) {
  Part& root = wrapped(Part("weights"));
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights_.push_back(&weight(root, file_->weights[i].second, std::move(weights[i])));
  for (const NamedParameter& p : parameters()) p.parameter->data()->name = p.name;
}

const std::vector<OnnxModel::Port>& OnnxModel::inputs() const { return file_->inputs; }
const std::vector<OnnxModel::Port>& OnnxModel::outputs() const { return file_->outputs; }

OnnxModel::Values OnnxModel::operator()(const Values& inputs) const {
  for (const auto& [name, value] : inputs)
    if (std::none_of(file_->inputs.begin(), file_->inputs.end(),
                     [&, &name = name](const Port& p) { return p.name == name; }))
      throw Error(fmt::format("the network has no input '{}': it has {}", shown(name), listed(file_->inputs)));
  for (const Port& p : file_->inputs) {
    const auto given = inputs.find(p.name);
    if (given == inputs.end())
      throw Error(fmt::format("input '{}' is missing: the network takes {}", shown(p.name), listed(file_->inputs)));
    check_input(p, given->second);
  }
  Tape& tape = inputs.begin()->second.tape();
  const Scope scope(tape, name());
  Run run(tape, *file_, weights_);
  for (std::size_t i = 0; i < file_->inputs.size(); ++i)
    run.at(file_->graph.inputs[i]) = inputs.at(file_->inputs[i].name);
  run.graph(file_->graph);
  Values out;
  for (std::size_t k = 0; k < file_->outputs.size(); ++k) {
    const Value& value = run.at(file_->graph.outputs[k]);
    if (std::holds_alternative<std::monostate>(value))
      throw Error(fmt::format("output '{}' was left out", shown(file_->outputs[k].name)));
    out[file_->outputs[k].name] = tensor_of(tape, value, file_->outputs[k].name);
  }
  return out;
}

Tensor OnnxModel::operator()(Tensor x) const {
  if (file_->inputs.size() != 1)
    throw Error(
        fmt::format("the network has {} inputs, give them by name: {}", file_->inputs.size(), listed(file_->inputs)));
  return (*this)(Values{{file_->inputs[0].name, x}}).at(file_->outputs[0].name);
}

OnnxModel OnnxModel::clone() const {
  std::vector<Array> values;
  for (const Parameter* p : weights_) values.push_back(p->value());
  return cloned(OnnxModel(file_, std::move(values)), *this);
}

OnnxModel load_onnx(const std::string& path) { return load(read_file(path, most_bytes), path); }

OnnxModel load_onnx(std::istream& in) {
  std::string bytes;
  std::array<char, 1 << 16> block;
  while (in.read(block.data(), block.size()) || in.gcount() > 0) {
    bytes.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (bytes.size() > most_bytes) throw Error("ONNX file: it is larger than 2 GB");
  }
  return load(bytes, "ONNX file");
}

}  // namespace rw
