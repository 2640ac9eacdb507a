#pragma once

#include <string>
#include <string_view>

#include <rewind/autograd/program/text.h>

namespace rw::ir {

/// What the texts of graphs and of programs have in common: how a line is written.
class TextWriter {
 public:
  TextWriter(const Store& store, DType real, const DumpOptions& options)
      : store_(store), real_(real), options_(options) {}

 protected:
  /// "program f32", and the parameters.
  void begin();
  /// One node. `attributes` without parentheses, `inputs` and `scope` with a blank before each.
  void node(const Node& n, std::string_view name, std::string_view attributes, std::string_view inputs,
            std::string_view scope);
  static std::string attributes_of(const OpInfo& info, const void* op);
  /// " @ lstm/t=3"; `number` gives the text of the number of scope `s`.
  template <class Number>
  std::string scope_of(std::uint32_t scope, Number&& number) const;
  std::string scope_of(std::uint32_t scope) const;
  /// The scopes from the outermost to this one.
  std::vector<std::uint32_t> path_of(std::uint32_t scope) const;

  const Store& store_;
  DType real_;
  DumpOptions options_;
  std::string out_;

 private:
  void parameter(std::size_t i);
  void type(DType dtype, const Shape& shape);
  void numbers(const Array& array);
  void name(std::string& out, const std::string& scope) const;
};

template <class Number>
std::string TextWriter::scope_of(std::uint32_t scope, Number&& number) const {
  std::string out;
  for (const std::uint32_t s : path_of(scope)) {
    out += out.empty() ? " @ " : "/";
    name(out, store_.scope_names[store_.scopes[s].name]);
    if (store_.scopes[s].number >= 0) out.append("=").append(number(s));
  }
  return out;
}

}  // namespace rw::ir
