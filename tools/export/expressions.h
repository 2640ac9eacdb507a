#pragma once

// Internal to tools/export/.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/program/graph.h>

namespace rw::detail {

/// The value of an elementwise op as C++: an expression of the inputs a, b, c and the attributes p0, p1, ... `own` has
/// expressions of ops that are not the library's. Throws Error that names the op and says what to do for one that
/// neither has.
std::string expression(const ir::Graph& g, NodeId i, std::span<const std::string> inputs,
                       const std::map<std::string, std::string>& own);

/// Whether the value takes a function such as exp or erf, beside which arithmetic is nothing.
bool takes_a_function(const ir::Graph& g, NodeId i);

/// The numbers that an attribute is made of, but for shapes. Its name is its place, "0", where the op gives none.
struct AttributeNumbers {
  std::string name;
  std::vector<double> numbers;
  bool operator==(const AttributeNumbers&) const = default;
};
/// An op's, in order; those that have a name and are as in a new op are left out.
std::vector<AttributeNumbers> attributes(const ir::Graph& g, NodeId i);
/// Number k of one of them, or what it is in a new op.
double number_of(const std::vector<AttributeNumbers>& all, std::string_view name, std::size_t k, double usual);
/// All of their numbers.
std::vector<double> numbers_of(const ir::Graph& g, NodeId i);

/// Whether C++ may have it in a name.
bool is_name_character(char c);

/// An Error for an op that has no form in C++.
[[noreturn]] void throw_no_form(const ir::Graph& g, NodeId i);

}  // namespace rw::detail
