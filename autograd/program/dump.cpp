#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/program/text.h>
#include <rewind/autograd/text_reader.h>

namespace rw::ir {
namespace {

class Writer {
 public:
  Writer(const Graph& g, const DumpOptions& options) : g_(g), options_(options) {}

  std::string run() {
    out_ = fmt::format("program {}\n", name_of(g_.real));
    for (std::size_t i = 0; i < g_.store->parameters.size(); ++i) parameter(i);
    for (NodeId i = 0; i < g_.size(); ++i) node(i);
    if (!g_.outputs.empty()) {
      out_ += "return";
      for (NodeId o : g_.outputs) out_ += fmt::format(" n{}", o);
      out_ += '\n';
    }
    for (const Effect& e : g_.effects) out_ += fmt::format("gradient {} += n{}\n", e.parameter, e.value);
    return std::move(out_);
  }

 private:
  void parameter(std::size_t i) {
    const rw::Parameter::Data& data = *g_.store->parameters[i];
    out_ += fmt::format("parameter {} ", i);
    write_quoted(out_, data.name);
    if (data.frozen) out_ += " frozen";
    type(data.value.dtype(), data.value.shape());
    out_ += '\n';
  }

  void type(DType dtype, const Shape& shape) {
    out_ += " : ";
    if (dtype != g_.real) out_.append(name_of(dtype)) += ' ';
    out_ += shape.str();
  }

  void node(NodeId i) {
    const Node& n = g_.nodes[i];
    out_ += fmt::format("n{} = {}", i, n.info->name);
    if (n.role == Role::parameter || (n.role == Role::input && n.leaf != random_key_leaf))
      out_ += fmt::format(" {}", n.leaf);
    attributes(n);
    for (NodeId in : g_.in(i)) out_ += fmt::format(" n{}", in);
    type(n.dtype, n.shape);
    if (n.info == &op_info<Constant>()) numbers(g_.store->constants[n.leaf]);
    if (n.scope != 0) scope(n.scope);
    if (n.backward) out_ += " backward";
    if (n.role == Role::op && n.info == &op_info<Fill>()) out_ += " op";
    if (n.kernel != no_kernel) out_ += fmt::format(" kernel={}", n.kernel);
    if (n.lane != 0) out_ += fmt::format(" lane={}", n.lane);
    out_ += '\n';
  }

  void attributes(const Node& n) {
    if (n.info->attribute_size == 0) return;
    std::string text = "?";
    if (n.info->write != nullptr) {
      text.clear();
      n.info->write(n.op, text);
    }
    if (!text.empty()) out_ += "(" + text + ")";
  }

  void numbers(const Array& array) {
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

  void scope(std::uint32_t scope) {
    std::vector<std::uint32_t> path;
    for (; scope != 0; scope = g_.store->scopes[scope].parent) path.push_back(scope);
    for (auto s = path.rbegin(); s != path.rend(); ++s) {
      const auto& entry = g_.store->scopes[*s];
      out_ += s == path.rbegin() ? " @ " : "/";
      const std::string& name = g_.store->scope_names[entry.name];
      TextReader reader(name);
      const bool plain = !name.empty() && name[0] != ' ' && reader.take_name() == name;
      if (plain)
        out_ += name;
      else
        write_quoted(out_, name);
      if (entry.number >= 0) out_ += fmt::format("={}", entry.number);
    }
  }

  const Graph& g_;
  DumpOptions options_;
  std::string out_;
};

}  // namespace

std::string dump(const Graph& g, const DumpOptions& options) { return Writer(g, options).run(); }

}  // namespace rw::ir
