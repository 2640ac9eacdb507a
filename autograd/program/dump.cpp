#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/program/text_writer.h>
#include <rewind/autograd/text_reader.h>

namespace rw::ir {

void TextWriter::begin() {
  out_ = fmt::format("program {}\n", name_of(real_));
  for (std::size_t i = 0; i < store_.parameters.size(); ++i) parameter(i);
}

void TextWriter::parameter(std::size_t i) {
  const rw::Parameter::Data& data = *store_.parameters[i];
  out_ += fmt::format("parameter {} ", i);
  write_quoted(out_, data.name);
  if (data.frozen) out_ += " frozen";
  type(data.value.dtype(), data.value.shape());
  out_ += '\n';
}

void TextWriter::type(DType dtype, const Shape& shape) {
  out_ += " : ";
  if (dtype != real_) out_.append(name_of(dtype)) += ' ';
  out_ += shape.str();
}

void TextWriter::node(const Node& n, std::string_view name, std::string_view attributes, std::string_view inputs,
                      std::string_view scope) {
  out_.append(name).append(" = ").append(n.info->name);
  if (n.role == Role::parameter || (n.role == Role::input && n.leaf != random_key_leaf))
    out_ += fmt::format(" {}", n.leaf);
  if (!attributes.empty()) out_.append("(").append(attributes).append(")");
  out_.append(inputs);
  type(n.dtype, n.shape);
  if (n.info == &op_info<Constant>()) numbers(store_.constants[n.leaf]);
  out_.append(scope);
  if (n.backward) out_ += " backward";
  if (n.role == Role::op && n.info == &op_info<Fill>()) out_ += " op";
  if (n.kernel != no_kernel) out_ += fmt::format(" kernel={}", n.kernel);
  if (n.lane != Lane()) out_ += fmt::format(" lane={}/{}", n.lane.section, n.lane.number);
  out_ += '\n';
}

std::string TextWriter::attributes_of(const OpInfo& info, const void* op) {
  if (info.attribute_size == 0) return {};
  if (info.write == nullptr) return "?";
  std::string text;
  info.write(op, text);
  return text;
}

void TextWriter::numbers(const Array& array) {
  out_ += " =";
  const auto count = static_cast<std::size_t>(array.size()), shown = std::min(count, options_.most_numbers);
  visit_dtype(array.dtype(), [&]<class T>() {
    const auto all = array.span<T>();
    for (std::size_t i = 0; i < shown; ++i) {
      out_ += ' ';
      if constexpr (std::is_same_v<T, std::int32_t>)
        out_ += std::to_string(all[i]);
      else
        write_number(out_, all[i]);
    }
  });
  if (shown < count) out_ += fmt::format(" ... {} more", count - shown);
}

std::vector<std::uint32_t> TextWriter::path_of(std::uint32_t scope) const {
  std::vector<std::uint32_t> path;
  for (; scope != 0; scope = store_.scopes[scope].parent) path.push_back(scope);
  std::reverse(path.begin(), path.end());
  return path;
}

void TextWriter::name(std::string& out, const std::string& scope) const {
  TextReader reader(scope);
  const bool plain = !scope.empty() && scope[0] != ' ' && reader.take_name() == scope;
  if (plain)
    out += scope;
  else
    write_quoted(out, scope);
}

std::string TextWriter::scope_of(std::uint32_t scope) const {
  return scope_of(scope, [&](std::uint32_t s) { return std::to_string(store_.scopes[s].number); });
}

namespace {

class GraphWriter : TextWriter {
 public:
  GraphWriter(const Graph& g, const DumpOptions& options) : TextWriter(*g.store, g.real, options), g_(g) {}

  std::string run() {
    begin();
    for (NodeId i = 0; i < g_.size(); ++i) {
      std::string inputs;
      for (const NodeId in : g_.in(i)) inputs += fmt::format(" n{}", in);
      const Node& n = g_.nodes[i];
      node(n, fmt::format("n{}", i), attributes_of(*n.info, n.op), inputs, scope_of(n.scope));
    }
    if (!g_.outputs.empty()) {
      out_ += "return";
      for (NodeId o : g_.outputs) out_ += fmt::format(" n{}", o);
      out_ += '\n';
    }
    for (const Effect& e : g_.effects) out_ += fmt::format("gradient {} += n{}\n", e.parameter, e.value);
    return std::move(out_);
  }

 private:
  const Graph& g_;
};

}  // namespace

std::string dump(const Graph& g, const DumpOptions& options) { return GraphWriter(g, options).run(); }

}  // namespace rw::ir
