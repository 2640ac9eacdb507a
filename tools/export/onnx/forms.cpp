#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>

#include <rewind/autograd/permute.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/expressions.h>
#include <rewind/tools/export/onnx/forms.h>

namespace rw::detail {
namespace {

/// An op that is about to be written.
struct Form {
  Nodes& nodes;
  const SizedProgram& program;
  std::uint32_t op = 0;
  const std::vector<Operand>& in;
  const ir::PerLoop& steps;
  std::vector<AttributeNumbers> attributes = {};
  std::vector<double> numbers = {};  // all of these

  const ir::Node& node() const { return program.program().ops[op].node; }
  Lengths shape() const { return program.shape_of(op); }
  const std::string& x(std::size_t i = 0) const { return in[i].name; }
  std::string c(double value) const { return nodes.number(value); }
  double attribute(std::string_view name, std::size_t k, double usual) const {
    return number_of(attributes, name, k, usual);
  }
  template <class... Names>
  std::string add(std::string_view op_type, const Names&... inputs) const {
    return nodes.add(op_type, Inputs{inputs...});
  }
  /// 1 and 0 of the real type, of a condition; and the other way round.
  std::string real(const std::string& condition) const {
    return nodes.add("Cast", {condition}, {{"to", std::int64_t{onnx_type(nodes.real())}}});
  }
  std::string condition(const std::string& number) const {
    return nodes.add("Cast", {number}, {{"to", std::int64_t{onnx::TensorProto::BOOL}}});
  }
};

using Writer = std::string (*)(const Form&);

std::string times0(const Form& f, const std::string& a, const std::string& b) {
  const std::string zero = f.c(0);
  const std::string either = f.add("Or", f.add("Equal", a, zero), f.add("Equal", b, zero));
  return f.add("Where", either, zero, f.add("Mul", a, b));
}

std::string normal_cdf(const Form& f) {
  const std::string erf = f.add("Erf", f.add("Mul", f.x(), f.c(std::sqrt(0.5))));
  return f.add("Mul", f.c(0.5), f.add("Add", f.c(1), erf));
}

/// log(1 + exp(x)). Runtimes have that of floats alone.
std::string softplus(const Form& f, const std::string& x) {
  if (f.nodes.real() == DType::f32) return f.add("Softplus", x);
  const std::string rest = f.add("Exp", f.add("Neg", f.add("Abs", x)));
  return f.add("Add", f.add("Relu", x), f.add("Log", f.add("Add", f.c(1), rest)));
}

/// exp(x) - 1, which near 0 is 2 t / (1 - t) with t = tanh(x / 2): no digits are lost.
std::string expm1(const Form& f) {
  const std::string t = f.add("Tanh", f.add("Mul", f.x(), f.c(0.5)));
  const std::string near = f.add("Div", f.add("Mul", f.c(2), t), f.add("Sub", f.c(1), t));
  const std::string far = f.add("Sub", f.add("Exp", f.x()), f.c(1));
  return f.add("Where", f.add("Less", f.add("Abs", f.x()), f.c(1)), near, far);
}

/// log(1 + x), which near 0 is 2 artanh(x / (2 + x)).
std::string log1p(const Form& f) {
  const std::string near = f.add("Mul", f.c(2), f.add("Atanh", f.add("Div", f.x(), f.add("Add", f.c(2), f.x()))));
  const std::string far = f.add("Log", f.add("Add", f.c(1), f.x()));
  return f.add("Where", f.add("Less", f.add("Abs", f.x()), f.c(0.5)), near, far);
}

std::string huber(const Form& f) {
  const double d = f.numbers.at(0);
  const std::string c = f.add("Min", f.add("Max", f.x(), f.c(-d)), f.c(d));
  return f.add("Mul", c, f.add("Sub", f.x(), f.add("Mul", f.c(0.5), c)));
}

std::string product(const Form& f) {
  const ProductFact fact = f.node().info->product(f.node().op);
  const auto turned = [&](std::size_t i, bool turn) {
    if (!turn) return f.x(i);
    std::vector<std::int64_t> axes;
    for (std::size_t a = 0; a < f.in[i].shape.size(); ++a) axes.push_back(static_cast<std::int64_t>(a));
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    return f.nodes.add("Transpose", {f.x(i)}, {{"perm", axes}});
  };
  return f.add("MatMul", turned(0, fact.ta), turned(1, fact.tb));
}

/// The axes that are summed over, or of which the largest or smallest is taken.
std::string reduced(const Form& f, std::string_view type) {
  const Lengths &from = f.in[0].shape, to = f.shape();
  const std::size_t more = from.size() - to.size();
  std::vector<std::int64_t> axes;
  for (std::size_t a = 0; a < from.size(); ++a)
    if (a < more || from[a] != to[a - more]) axes.push_back(static_cast<std::int64_t>(a));
  std::string out = f.x();
  if (!axes.empty() && type == "ReduceSum")
    out = f.nodes.add(type, {out, f.nodes.integers(axes)}, {{"keepdims", std::int64_t{1}}});
  else if (!axes.empty())
    out = f.nodes.add(type, {out}, {{"axes", axes}, {"keepdims", std::int64_t{1}}});
  return more == 0 ? out : f.add("Reshape", out, f.nodes.shape(to));
}

std::string slice(const Form& f) {
  const SizedProgram::Attributes words = f.program.attributes(f.op, f.steps);
  if (words.change()) throw Error("write_onnx: " + f.program.describe(f.op) + " takes another part at each step");
  std::array<Index, 3> starts{}, ends{};
  std::int64_t axis = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    const auto& s = words.as<Slice>(words.first[k]);
    starts[k] = s.start;
    ends[k] = s.start + s.length;
    axis = s.axis;
  }
  return f.add("Slice", f.x(), f.nodes.length(f.program.length_of(starts, f.op)),
               f.nodes.length(f.program.length_of(ends, f.op)), f.nodes.integers({axis}));
}

std::string concat(const Form& f) {
  Inputs parts;
  for (const Operand& o : f.in) parts.push_back(o.name);
  return f.nodes.add("Concat", parts, {{"axis", std::int64_t{*static_cast<const Index*>(f.node().op)}}});
}

std::string sum(const Form& f) {
  Inputs parts;
  for (const Operand& o : f.in) parts.push_back(o.name);
  return f.nodes.add("Sum", parts);
}

/// 0, 1, ..., as many as there are classes.
Array classes_of(const Form& f, const Length& classes) {
  if (!classes.is_number()) throw Error("write_onnx: " + f.program.describe(f.op) + " has a class for each step");
  return arange(classes.factor + classes.more);
}
/// Whether each index is a class, along a last axis.
std::string is_index(const Form& f, const std::string& indices, const Length& classes) {
  const std::string all = f.nodes.weights(classes_of(f, classes), "classes");
  return f.add("Equal", f.add("Unsqueeze", indices, f.nodes.integers({-1})), all);
}

std::string one_hot(const Form& f) { return f.real(is_index(f, f.x(), f.shape().back())); }

std::string place(const Form& f) {
  const std::string at = is_index(f, f.x(1), f.shape().back());
  return f.add("Where", at, f.add("Unsqueeze", f.x(), f.nodes.integers({-1})), f.c(0));
}

/// Rows added up by index: a product with what says where each one goes.
std::string scattered(const Form& f, const Lengths& shape, const std::string& rows) {
  const Array classes = classes_of(f, shape[0]);
  const std::string all = f.nodes.weights(classes.reshaped({classes.size(), 1}), "classes");
  const std::string indices = f.add("Reshape", f.x(1), f.nodes.integers({1, -1}));
  return f.add("MatMul", f.real(f.add("Equal", indices, all)), rows);
}
std::string scatter_rows(const Form& f) {
  const Length columns = f.shape().back();
  if (!columns.is_number()) throw Error("write_onnx: " + f.program.describe(f.op) + " has a column for each step");
  return scattered(f, f.shape(), f.add("Reshape", f.x(), f.nodes.integers({-1, columns.factor + columns.more})));
}
std::string add_elements(const Form& f) {
  const std::string sums = scattered(f, f.shape(), f.add("Reshape", f.x(), f.nodes.integers({-1, 1})));
  return f.add("Reshape", sums, f.nodes.integers({-1}));
}

std::string pick(const Form& f) {
  const std::string at = f.add("Unsqueeze", f.x(1), f.nodes.integers({-1}));
  return f.add("Squeeze", f.nodes.add("GatherElements", {f.x(0), at}, {{"axis", std::int64_t{-1}}}),
               f.nodes.integers({-1}));
}

std::string cross_entropy(const Form& f) {
  const std::string all =
      f.nodes.add("ReduceLogSumExp", {f.x()}, {{"axes", std::vector<std::int64_t>{-1}}, {"keepdims", std::int64_t{0}}});
  return f.add("Sub", all, pick(f));
}

std::string binary_cross_entropy(const Form& f) {
  const std::string yes = times0(f, f.x(1), softplus(f, f.add("Neg", f.x())));
  return f.add("Add", yes, times0(f, f.add("Sub", f.c(1), f.x(1)), softplus(f, f.x())));
}

std::string cumsum(const Form& f) {
  const auto axis = static_cast<std::int64_t>(f.numbers.at(0)), from_end = static_cast<std::int64_t>(f.numbers.at(1));
  return f.nodes.add("CumSum", {f.x(), f.nodes.integers({axis})}, {{"reverse", from_end}});
}

std::string flipped(const Form& f) {
  const auto axis = static_cast<std::int64_t>(static_cast<const Flip*>(f.node().op)->axis);
  return f.add("Slice", f.x(), f.nodes.integers({-1}), f.nodes.integers({std::numeric_limits<std::int64_t>::min()}),
               f.nodes.integers({axis}), f.nodes.integers({-1}));
}

std::string sorted(const Form& f) {
  std::string values = f.nodes.fresh("sorted");
  const std::string at = f.nodes.fresh("order");
  const auto falling = static_cast<std::int64_t>(f.attribute("1", 0, 0));
  f.nodes.add("TopK", {f.x(), f.nodes.length(f.shape().back())}, Inputs{values, at}, {{"largest", falling}});
  if (f.x() == f.x(1)) return values;
  return f.nodes.add("GatherElements", {f.x(1), at}, {{"axis", std::int64_t{-1}}});
}

std::string lower_triangle(const Form& f) {
  if (f.attribute("diagonal", 0, 1) != 1)
    throw Error("write_onnx: " + f.program.describe(f.op) + " weighs its diagonal, which has no form in ONNX");
  return f.nodes.add("Trilu", {f.x()}, {{"upper", std::int64_t{0}}});
}

std::string convolved(const Form& f) {
  const auto whole = [&](std::string_view name, std::size_t k, double usual) {
    return static_cast<std::int64_t>(f.attribute(name, k, usual));
  };
  const auto pair = [&](std::string_view name, double usual) {
    return std::vector<std::int64_t>{whole(name, 0, usual), whole(name, 1, usual)};
  };
  std::vector<std::int64_t> pads = pair("before", 0);
  for (const std::int64_t after : pair("after", 0)) pads.push_back(after);
  return f.nodes.add("Conv", {f.x(), f.x(1)},
                     {{"strides", pair("stride", 1)},
                      {"dilations", pair("dilation", 1)},
                      {"pads", pads},
                      {"group", whole("groups", 0, 1)}});
}

std::string power_of_two(const Form& f) {
  const std::string size = f.add("Max", f.add("Abs", f.x()), f.c(std::numeric_limits<float>::min()));
  const std::string log2 = f.add("Mul", f.add("Log", size), f.c(1 / std::log(2.0)));
  return f.add("Pow", f.c(2), f.add("Floor", log2));
}

std::string filled(const Form& f) {
  const SizedProgram::Attributes words = f.program.attributes(f.op, f.steps);
  std::array<double, 3> fills{};
  for (std::size_t k = 0; k < 3; ++k) fills[k] = words.as<Fill>(words.first[k]).value;
  std::string number = f.c(fills[0]);
  if (fills[0] != fills[1] || fills[0] != fills[2])
    number = f.real(f.add("Squeeze", f.nodes.length(f.program.length_in(fills, f.op))));
  return f.shape().empty() ? number : f.add("Expand", number, f.nodes.lengths(f.shape()));
}

std::string permuted(const Form& f) {
  const auto& op = *static_cast<const Permute*>(f.node().op);
  const std::vector<std::int64_t> axes(op.axes.begin(), op.axes.begin() + op.rank);
  return f.nodes.add("Transpose", {f.x()}, {{"perm", axes}});
}

const std::map<std::string_view, Writer>& forms() {
  using F = const Form&;
  static const std::map<std::string_view, Writer> all{
      {"add", [](F f) { return f.add("Add", f.x(), f.x(1)); }},
      {"sub", [](F f) { return f.add("Sub", f.x(), f.x(1)); }},
      {"mul", [](F f) { return f.add("Mul", f.x(), f.x(1)); }},
      {"div", [](F f) { return f.add("Div", f.x(), f.x(1)); }},
      {"times0", [](F f) { return times0(f, f.x(), f.x(1)); }},
      {"neg", [](F f) { return f.add("Neg", f.x()); }},
      {"square", [](F f) { return f.add("Mul", f.x(), f.x()); }},
      {"abs", [](F f) { return f.add("Abs", f.x()); }},
      {"maximum", [](F f) { return f.add("Max", f.x(), f.x(1)); }},
      {"minimum", [](F f) { return f.add("Min", f.x(), f.x(1)); }},
      {"clamp", [](F f) { return f.add("Min", f.add("Max", f.x(), f.c(f.numbers.at(0))), f.c(f.numbers.at(1))); }},
      {"tanh", [](F f) { return f.add("Tanh", f.x()); }},
      {"sigmoid", [](F f) { return f.add("Sigmoid", f.x()); }},
      {"log_sigmoid", [](F f) { return f.add("Neg", softplus(f, f.add("Neg", f.x()))); }},
      {"relu", [](F f) { return f.add("Relu", f.x()); }},
      {"leaky_relu",
       [](F f) {
         return f.nodes.add("LeakyRelu", {f.x()}, {{"alpha", static_cast<float>(f.numbers.at(0))}});
       }},
      {"softplus", [](F f) { return softplus(f, f.x()); }},
      {"erf", [](F f) { return f.add("Erf", f.x()); }},
      {"normal_pdf",
       [](F f) {
         const std::string half = f.add("Mul", f.c(-0.5), f.add("Mul", f.x(), f.x()));
         return f.add("Mul", f.c(1 / std::sqrt(2 * std::acos(-1.0))), f.add("Exp", half));
       }},
      {"normal_cdf", [](F f) { return normal_cdf(f); }},
      {"gelu", [](F f) { return times0(f, f.x(), normal_cdf(f)); }},
      {"sqrt", [](F f) { return f.add("Sqrt", f.x()); }},
      {"exp", [](F f) { return f.add("Exp", f.x()); }},
      {"expm1", expm1},
      {"log", [](F f) { return f.add("Log", f.x()); }},
      {"log1p", log1p},
      {"floor", [](F f) { return f.add("Floor", f.x()); }},
      {"sign", [](F f) { return f.add("Sign", f.x()); }},
      {"mod",
       [](F f) {
         const std::string whole = f.add("Floor", f.add("Div", f.x(), f.x(1)));
         return f.add("Sub", f.x(), f.add("Mul", whole, f.x(1)));
       }},
      {"power_of_two", power_of_two},
      {"pow_constant", [](F f) { return f.add("Pow", f.x(), f.c(f.numbers.at(0))); }},
      {"pow", [](F f) { return f.add("Pow", f.x(), f.x(1)); }},
      {"sin", [](F f) { return f.add("Sin", f.x()); }},
      {"cos", [](F f) { return f.add("Cos", f.x()); }},
      {"equal", [](F f) { return f.real(f.add("Equal", f.x(), f.x(1))); }},
      {"not_equal", [](F f) { return f.real(f.add("Not", f.add("Equal", f.x(), f.x(1)))); }},
      {"less", [](F f) { return f.real(f.add("Less", f.x(), f.x(1))); }},
      {"less_equal", [](F f) { return f.real(f.add("LessOrEqual", f.x(), f.x(1))); }},
      {"greater", [](F f) { return f.real(f.add("Greater", f.x(), f.x(1))); }},
      {"greater_equal", [](F f) { return f.real(f.add("GreaterOrEqual", f.x(), f.x(1))); }},
      {"logical_and", [](F f) { return f.real(f.add("And", f.condition(f.x()), f.condition(f.x(1)))); }},
      {"logical_or", [](F f) { return f.real(f.add("Or", f.condition(f.x()), f.condition(f.x(1)))); }},
      {"logical_xor", [](F f) { return f.real(f.add("Xor", f.condition(f.x()), f.condition(f.x(1)))); }},
      {"logical_not", [](F f) { return f.real(f.add("Not", f.condition(f.x()))); }},
      {"where", [](F f) { return f.add("Where", f.condition(f.x()), f.x(1), f.x(2)); }},
      {"huber", huber},
      {"clip_gradient", [](F f) { return f.x(); }},
      {"detach", [](F f) { return f.x(); }},
      {"gate", [](F f) { return f.x(); }},
      {"own_rule", [](F f) { return f.x(); }},
      {"negative", [](F f) { return f.add("Neg", f.x()); }},
      {"binary_cross_entropy_with_logits", binary_cross_entropy},
      {"matmul", product},
      {"add_n", sum},
      {"concat", concat},
      {"slice", slice},
      {"fill", filled},
      {"permute", permuted},
      {"reshape", [](F f) { return f.add("Reshape", f.x(), f.nodes.shape(f.shape())); }},
      {"broadcast_to", [](F f) { return f.add("Expand", f.x(), f.nodes.lengths(f.shape())); }},
      {"sum_to", [](F f) { return reduced(f, "ReduceSum"); }},
      {"max", [](F f) { return reduced(f, "ReduceMax"); }},
      {"min", [](F f) { return reduced(f, "ReduceMin"); }},
      {"softmax",
       [](F f) {
         return f.nodes.add("Softmax", {f.x()}, {{"axis", std::int64_t{-1}}});
       }},
      {"log_softmax",
       [](F f) {
         return f.nodes.add("LogSoftmax", {f.x()}, {{"axis", std::int64_t{-1}}});
       }},
      {"logsumexp",
       [](F f) {
         return f.nodes.add("ReduceLogSumExp", {f.x()},
                            {{"axes", std::vector<std::int64_t>{-1}}, {"keepdims", std::int64_t{1}}});
       }},
      {"lookup", [](F f) { return f.add("Gather", f.x(), f.x(1)); }},
      {"one_hot", one_hot},
      {"pick", pick},
      {"place", place},
      {"scatter_rows", scatter_rows},
      {"take_elements", [](F f) { return f.add("Gather", f.x(), f.x(1)); }},
      {"add_elements", add_elements},
      {"cross_entropy", cross_entropy},
      {"hardmax",
       [](F f) {
         return f.nodes.add("Hardmax", {f.x()}, {{"axis", std::int64_t{-1}}});
       }},
      {"cumsum", cumsum},
      {"flip", flipped},
      {"sort", sorted},
      {"tril", lower_triangle},
      {"conv", convolved},
  };
  return all;
}

/// Those of an op, which are the same at every step and size. (Slice, Fill, Permute and sort have their own way.)
std::vector<AttributeNumbers> attributes_of(const SizedProgram& program, std::uint32_t op, const ir::PerLoop& steps) {
  const ir::Node& node = program.program().ops[op].node;
  const bool own_way =
      node.info == &op_info<Slice>() || node.info == &op_info<Fill>() || node.info == &op_info<Permute>();
  if (node.info->attribute_size == 0 || node.info->write == nullptr || own_way) return {};
  const SizedProgram::Attributes words = program.attributes(op, steps);
  std::array<std::vector<AttributeNumbers>, 3> all;
  for (std::size_t k = 0; k < 3; ++k) {
    ir::Graph one;
    ir::Node copy = node;
    copy.op = words.first[k].data();
    copy.first = copy.arity = copy.scope = 0;
    one.nodes.push_back(copy);
    all[k] = attributes(one, 0);
    if (node.info->name == "sort") all[k].erase(all[k].begin());  // the count is that of the shape
  }
  if (all[0] != all[1] || all[0] != all[2])
    throw Error("write_onnx: " + program.describe(op) + " has a number that depends on the length or the batch");
  return all[0];
}

}  // namespace

std::string write_op(Nodes& nodes, const SizedProgram& program, std::uint32_t op, const std::vector<Operand>& in,
                     const ir::PerLoop& steps) {
  const ir::Node& node = program.program().ops[op].node;
  const auto form = forms().find(node.info->name);
  if (form == forms().end()) throw Error("write_onnx: " + program.describe(op) + " has no form in ONNX");
  if (node.info != &op_info<Slice>() && program.attributes(op, steps).change())
    throw Error("write_onnx: " + program.describe(op) + " depends on the time: each step has another one");
  Form f{.nodes = nodes, .program = program, .op = op, .in = in, .steps = steps};
  f.attributes = attributes_of(program, op, steps);
  for (const AttributeNumbers& a : f.attributes) f.numbers.insert(f.numbers.end(), a.numbers.begin(), a.numbers.end());
  return form->second(f);
}

}  // namespace rw::detail
