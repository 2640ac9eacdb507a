#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/onnx/nodes.h>

namespace rw::detail {
namespace {

void set(onnx::AttributeProto& to, std::int64_t value) {
  to.set_type(onnx::AttributeProto::INT);
  to.set_i(value);
}
void set(onnx::AttributeProto& to, float value) {
  to.set_type(onnx::AttributeProto::FLOAT);
  to.set_f(value);
}
void set(onnx::AttributeProto& to, const std::string& value) {
  to.set_type(onnx::AttributeProto::STRING);
  to.set_s(value);
}
void set(onnx::AttributeProto& to, const std::vector<std::int64_t>& values) {
  to.set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t v : values) to.add_ints(v);
}
void set(onnx::AttributeProto& to, const std::vector<std::string>& values) {
  to.set_type(onnx::AttributeProto::STRINGS);
  for (const std::string& v : values) to.add_strings(v);
}
void set(onnx::AttributeProto& to, const onnx::GraphProto& graph) {
  to.set_type(onnx::AttributeProto::GRAPH);
  *to.mutable_g() = graph;
}
void set(onnx::AttributeProto& to, const onnx::TensorProto& tensor) {
  to.set_type(onnx::AttributeProto::TENSOR);
  *to.mutable_t() = tensor;
}

onnx::TensorProto tensor_of(const Array& value) {
  onnx::TensorProto t;
  t.set_data_type(onnx_type(value.dtype()));
  for (const Index d : value.shape()) t.add_dims(d);
  const ConstView v = value.view();
  t.set_raw_data(v.data, static_cast<std::size_t>(value.size()) * size_of(value.dtype()));
  return t;
}

}  // namespace

int onnx_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return onnx::TensorProto::FLOAT;
    case DType::f64: return onnx::TensorProto::DOUBLE;
    case DType::i32: return onnx::TensorProto::INT32;
  }
  return onnx::TensorProto::UNDEFINED;
}

std::string Nodes::fresh(std::string_view hint) {
  std::string name(hint);
  for (std::size_t& n = last_[name]; !names_.insert(name).second;) name = fmt::format("{}_{}", hint, ++n);
  return name;
}

void Nodes::take(const std::string& name) {
  if (!names_.insert(name).second) throw Error("write_onnx: two values are named '" + name + "'");
}

std::string Nodes::add(std::string_view op, const Inputs& inputs, const Attributes& attributes) {
  std::string hint(op);
  std::transform(hint.begin(), hint.end(), hint.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  std::string out = fresh(hint);
  add(op, inputs, Inputs{out}, attributes);
  return out;
}

void Nodes::add(std::string_view op, const Inputs& inputs, const Inputs& outputs, const Attributes& attributes) {
  onnx::NodeProto& node = *graph_->add_node();
  node.set_op_type(std::string(op));
  node.set_name(std::find_if(outputs.begin(), outputs.end(), [](const auto& o) { return !o.empty(); })->c_str());
  for (const std::string& i : inputs) node.add_input(i);
  for (const std::string& o : outputs) node.add_output(o);
  for (const auto& [name, value] : attributes) {
    onnx::AttributeProto& to = *node.add_attribute();
    to.set_name(name);
    std::visit([&](const auto& v) { set(to, v); }, value);
  }
}

std::string Nodes::kept(const std::string& key, onnx::TensorProto tensor, std::string_view name) {
  const auto [at, is_new] = constants_.try_emplace(key);
  if (!is_new) return at->second;
  at->second = fresh(name);
  if (at->second != name) other_names_[at->second] = name;
  tensor.set_name(at->second);
  *top_.add_initializer() = std::move(tensor);
  return at->second;
}

std::string Nodes::weights(const Array& value, std::string_view name) {
  onnx::TensorProto t = tensor_of(value);
  const std::string key = fmt::format("{} {} {} ", name, t.data_type(), value.shape().str()) + t.raw_data();
  return kept(key, std::move(t), name);
}

std::string Nodes::constant(const Array& value) {
  onnx::GraphProto* here = into(&top_);
  std::string out = add("Constant", {}, {{"value", tensor_of(value)}});
  into(here);
  return out;
}

std::string Nodes::number(double value) {
  Array a(Shape{}, real_);
  a.fill(value);
  return weights(a, fmt::format("{:g}", value));
}

std::string Nodes::integers(const std::vector<std::int64_t>& values) {
  onnx::TensorProto t;
  t.set_data_type(onnx::TensorProto::INT64);
  t.add_dims(static_cast<std::int64_t>(values.size()));
  t.set_raw_data(values.data(), values.size() * sizeof values[0]);
  const std::string key = "i64 " + t.raw_data();
  return kept(key, std::move(t), fmt::format("[{}]", fmt::join(values, ",")));
}

std::string Nodes::length(const Length& l) {
  if (l.is_number()) return integers({l.factor + l.more});
  std::string out = l.steps ? steps : batch;
  if (l.steps && l.batch) out = add("Mul", {steps, batch});
  if (l.factor != 1) out = add("Mul", {out, integers({l.factor})});
  return l.more == 0 ? out : add("Add", {out, integers({l.more})});
}

std::string Nodes::lengths(const Lengths& all) {
  std::vector<std::int64_t> numbers;
  for (const Length& l : all)
    if (l.is_number()) numbers.push_back(l.factor + l.more);
  if (numbers.size() == all.size()) return integers(numbers);
  Inputs parts;
  for (const Length& l : all) parts.push_back(length(l));
  return parts.size() == 1 ? parts[0] : add("Concat", parts, {{"axis", std::int64_t{0}}});
}

std::string Nodes::shape(const Lengths& all) {
  std::vector<std::int64_t> numbers;
  bool zero = false;
  for (const Length& l : all) {
    numbers.push_back(l.is_number() ? l.factor + l.more : -1);
    zero = zero || numbers.back() == 0;
  }
  return zero || std::count(numbers.begin(), numbers.end(), -1) > 1 ? lengths(all) : integers(numbers);
}

}  // namespace rw::detail
