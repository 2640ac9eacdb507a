#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include <rewind/autograd/program/named_values.h>
#include <rewind/autograd/program/text.h>
#include <rewind/autograd/text_reader.h>
#include <rewind/core/error.h>
#include <rewind/core/shown.h>

namespace rw::ir {
namespace {

constexpr std::uint64_t most_leaves = 1 << 20;

/// What a line says of a node beside its op and inputs.
struct Type {
  std::optional<Shape> shape;
  std::optional<DType> dtype;
};

class Parser {
 public:
  explicit Parser(const ParseLimits& limits) : names_(limits.reads), limits_(limits) {}

  Graph run(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      lines.push_back(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    find_ends(lines);
    block(lines, 0, lines.size());
    if (!begun_) throw Error("parse: expected 'program f32' or 'program f64', and there is nothing");
    return std::move(g_);
  }

 private:
  template <class F>
  static auto in_line(std::size_t line, F&& f) {
    try {
      return f();
    } catch (const Error& e) {
      throw Error(fmt::format("parse: line {}: {}", line + 1, e.what()));
    }
  }

  // ---- Loops: their lines are read again for every step ----

  void block(const std::vector<std::string_view>& lines, std::size_t at, std::size_t end) {
    for (; at < end; ++at) {
      TextReader in(lines[at]);
      if (begun_ && begins_loop(in)) {
        at = loop(lines, at, in);
        continue;
      }
      in_line(at, [&] {
        count_line();
        parse_line(names_.with_numbers(lines[at]));
      });
    }
  }

  void find_ends(const std::vector<std::string_view>& lines) {
    ends_.resize(lines.size());
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      TextReader in(lines[i]);
      if (begins_loop(in)) {
        open.push_back(i);
      } else if (!open.empty() && ends_loop(lines[i])) {
        ends_[open.back()] = i;
        open.pop_back();
      }
    }
  }

  void count_line() {
    if (++read_ > limits_.lines)
      throw Error(fmt::format("a program of more than {} lines, loops counted", limits_.lines));
  }

  // "loop t 50", where a node may be called loop as well.
  static bool begins_loop(TextReader& in) { return in.take("loop") && !in.sees("="); }
  static bool ends_loop(std::string_view line) {
    TextReader in(line);
    return in.take("end") && in.done();
  }

  std::size_t loop(const std::vector<std::string_view>& lines, std::size_t at, TextReader& in) {
    TextLoop made;
    made.line = at;
    in_line(at, [&] {
      made.letter = std::string(in.name("a letter that counts the steps"));
      made.steps = static_cast<std::int64_t>(in.natural(static_cast<std::uint64_t>(limits_.lines)));
      if (!in.done()) in.fail("the end of the line");
      names_.open(made);
    });
    const std::size_t last = ends_[at];
    if (last == 0) throw Error(fmt::format("parse: line {}: the loop has no 'end'", at + 1));
    for (std::int64_t t = 0; t < made.steps; ++t) {
      names_.set_step(t);
      in_line(at, [&] { count_line(); });
      block(lines, at + 1, last);
    }
    names_.close();
    return last;
  }

  void parse_line(std::string_view text) {
    TextReader in(text);
    if (in.done() || in.sees("#")) return;
    if (!begun_) {
      begin(in);
    } else if (in.take("parameter")) {
      parameter(in);
    } else if (in.take("return")) {
      if (returned_) throw Error("a second return");
      returned_ = true;
      while (!in.done()) names_.read(in, g_.outputs);
    } else if (in.take("gradient")) {
      effect(in);
    } else {
      node(in);
    }
    if (!in.done()) in.fail("the end of the line");
  }

  void begin(TextReader& in) {
    in.expect("program");
    g_.real = dtype(in);
    if (!is_real(g_.real)) throw Error("a program computes with f32 or f64");
    begun_ = true;
  }

  static DType dtype(TextReader& in) {
    for (const DType t : {DType::f32, DType::f64, DType::i32})
      if (in.take(name_of(t))) return t;
    in.fail("f32, f64 or i32");
  }

  Type type(TextReader& in) {
    Type t;
    if (!in.take(":")) return t;
    if (!in.sees("(")) t.dtype = dtype(in);
    t.shape = in.shape();
    return t;
  }
  Type whole_type(TextReader& in) {
    Type t = type(in);
    if (!t.shape.has_value()) in.fail("':' and a shape");
    return t;
  }

  void count_elements(const Shape& shape) {
    elements_ += shape.size();
    if (elements_ > limits_.numbers)
      throw Error(fmt::format("constants and parameters of more than {} numbers", limits_.numbers));
  }

  void parameter(TextReader& in) {
    const std::uint64_t number = in.natural(most_leaves), expected = g_.store->parameters.size();
    if (number != expected) throw Error(fmt::format("the next parameter has the number {}, not {}", expected, number));
    const std::string name = in.quoted();
    const bool frozen = in.take("frozen");
    const Type t = whole_type(in);
    const DType dtype = t.dtype.value_or(g_.real);
    if (!is_real(dtype)) throw Error("a parameter is f32 or f64");
    count_elements(*t.shape);
    Parameter made(name, Array(*t.shape, dtype));
    made.freeze(frozen);
    g_.store->parameters.push_back(made.data());
  }

  std::uint32_t parameter_number(TextReader& in) {
    const std::uint64_t number = in.natural(most_leaves);
    if (number >= g_.store->parameters.size())
      throw Error(fmt::format("there are {} parameters above, and none has the number {}", g_.store->parameters.size(),
                              number));
    return static_cast<std::uint32_t>(number);
  }

  void effect(TextReader& in) {
    const std::uint32_t number = parameter_number(in);
    in.expect("+=");
    const NodeId value = names_.read_one(in);
    const Shape& shape = g_.store->parameters[number]->value.shape();
    if (!(g_.nodes[value].shape == shape))
      throw Error(
          fmt::format("the gradient of parameter {} is {}, not {}", number, shape.str(), g_.nodes[value].shape.str()));
    g_.effects.push_back({number, value});
  }

  void node(TextReader& in) {
    const std::string name(in.name("a node's name, or parameter, return or gradient"));
    if (name == "backward" || name == "op") throw Error("no node can be called '" + name + "'");
    names_.check_new(name);
    in.expect("=");
    const std::string op(in.name("the name of an op"));
    const NodeId id = leaf(op, in) ? g_.size() - 1 : computed(op, in);
    labels(in, g_.nodes[id]);
    names_.add(name, id);
  }

  // ---- Leaves ----

  bool leaf(const std::string& op, TextReader& in) {
    if (op == ParameterLeaf::name) {
      Node& n = add_leaf(op_info<ParameterLeaf>(), Role::parameter);
      n.leaf = parameter_number(in);
      n.shape = g_.store->parameters[n.leaf]->value.shape();
      check(type(in), n);
    } else if (op == Input::name) {
      Node& n = add_leaf(op_info<Input>(), Role::input);
      n.leaf = static_cast<std::uint32_t>(in.natural(most_leaves));
      const Type t = whole_type(in);
      n.shape = *t.shape;
      n.dtype = t.dtype.value_or(g_.real);
      if (is_real(n.dtype) && n.dtype != g_.real) throw Error("an input is of the program's real type, or i32");
      const auto [first, is_new] = inputs_.emplace(n.leaf, std::pair(n.shape, n.dtype));
      if (!is_new) check({first->second.first, first->second.second}, n);
    } else if (op == RandomKey::name) {
      Node& n = add_leaf(op_info<RandomKey>(), Role::input);
      n.leaf = random_key_leaf;
      n.shape = Shape{4};
      n.dtype = DType::i32;
      check(type(in), n);
    } else if (op == Constant::name) {
      constant(in);
    } else {
      return false;
    }
    return true;
  }

  Node& add_leaf(const OpInfo& info, Role role) {
    static constexpr char none = 0;
    Node n;
    n.info = &info;
    n.op = &none;
    n.role = role;
    n.dtype = g_.real;
    return g_.nodes[g_.append(n, {})];
  }

  void constant(TextReader& in) {
    const Type t = whole_type(in);
    Node& n = add_leaf(op_info<Constant>(), Role::constant);
    n.shape = *t.shape;
    n.dtype = t.dtype.value_or(g_.real);
    n.leaf = static_cast<std::uint32_t>(g_.store->constants.size());
    in.expect("=");
    count_elements(n.shape);
    Array array(n.shape, n.dtype);
    visit_dtype(n.dtype, [&]<class T>() {
      for (T& x : array.span<T>()) {
        if (in.sees("...")) throw Error("numbers of the constant were left out when this was written");
        if constexpr (std::is_same_v<T, float>) {
          x = in.number32();
        } else if constexpr (std::is_same_v<T, double>) {
          x = in.number64();
        } else {
          detail::read_field(in, x);
        }
      }
    });
    g_.store->constants.push_back(std::move(array));
  }

  // ---- Ops ----

  NodeId computed(const std::string& op, TextReader& in) {
    const std::vector<const OpInfo*> candidates = ops_named(op);
    if (candidates.empty()) throw Error("no op of this program is called '" + shown(op) + "'");
    // Ops of one name differ in attributes or types: the first that fits.
    for (std::size_t i = 0; i + 1 < candidates.size(); ++i) {
      TextReader ahead = in;
      try {
        const NodeId id = computed(*candidates[i], ahead);
        in = ahead;
        return id;
      } catch (const Error&) {
      }
    }
    return computed(*candidates.back(), in);
  }

  NodeId computed(const OpInfo& info, TextReader& in) {
    if (!computes(info)) throw Error(fmt::format("{} is a leaf that a program does not have", info.name));
    Node n;
    n.info = &info;
    n.op = attributes(info, in);
    std::vector<NodeId> inputs;
    while (!in.done() && !in.sees(":") && !in.sees("@") && !sees_label(in)) names_.read(in, inputs);
    const Type t = type(in);
    try {
      infer(n, inputs);
    } catch (const Error& e) {
      throw Error(fmt::format("[{}] {}", info.name, e.what()));
    }
    check(t, n);
    if (&info == &op_info<Fill>()) n.role = Role::constant;
    return g_.append(n, inputs);
  }

  const void* attributes(const OpInfo& info, TextReader& in) {
    static constexpr char none = 0;
    const bool given = in.take("(");
    if (info.attribute_size == 0) {
      if (given) in.expect(")");
      return &none;
    }
    if (info.read == nullptr) throw Error(fmt::format("the attributes of {} cannot be written as text", info.name));
    void* op = g_.store->attributes.allocate(info.attribute_size);
    TextReader nothing(")");
    info.read(given ? in : nothing, op);
    if (given) in.expect(")");
    return op;
  }

  void infer(Node& n, const std::vector<NodeId>& inputs) const {
    if (n.info->arity != any_arity && inputs.size() != static_cast<std::size_t>(n.info->arity))
      throw Error(fmt::format("takes {} input{}, not {}", n.info->arity, n.info->arity == 1 ? "" : "s", inputs.size()));
    std::vector<Shape> shapes;
    shapes.reserve(inputs.size());
    for (NodeId i : inputs) shapes.push_back(g_.nodes[i].shape);
    n.shape = n.info->infer(n.op, shapes);
    n.dtype = n.info->any_dtype && !inputs.empty() ? g_.nodes[inputs[0]].dtype : g_.real;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const DType given = g_.nodes[inputs[i]].dtype;
      const bool index = i < 32 && (n.info->integer_inputs >> i & 1u) != 0;
      if (n.info->any_dtype ? given != n.dtype : given != (index ? DType::i32 : g_.real))
        throw Error(fmt::format("input {} must be {}, not {}", i,
                                name_of(n.info->any_dtype ? n.dtype
                                        : index           ? DType::i32
                                                          : g_.real),
                                name_of(given)));
    }
  }

  void check(const Type& said, const Node& n) const {
    if (said.shape.has_value() && !(*said.shape == n.shape))
      throw Error(fmt::format("the shape is {}, not {}", n.shape.str(), said.shape->str()));
    if (said.shape.has_value() && said.dtype.value_or(g_.real) != n.dtype)
      throw Error(fmt::format("the type is {}, not {}", name_of(n.dtype), name_of(said.dtype.value_or(g_.real))));
  }

  // ---- What follows the type ----

  static bool sees_label(TextReader& in) {
    for (const std::string_view label : {"backward", "op", "kernel", "lane"}) {
      TextReader ahead = in;
      if (ahead.take(label) && (label == "backward" || label == "op" || ahead.take("="))) return true;
    }
    return false;
  }

  void labels(TextReader& in, Node& n) {
    if (in.take("@")) n.scope = scope(in);
    if (in.take("backward")) n.backward = true;
    if (n.info == &op_info<Fill>() && in.take("op")) n.role = Role::op;
    if (in.take("kernel")) {
      in.expect("=");
      n.kernel = static_cast<std::uint32_t>(in.natural(most_leaves));
    }
    if (in.take("lane")) {
      in.expect("=");
      n.lane.section = static_cast<std::uint32_t>(in.natural(most_leaves));
      in.expect("/");
      n.lane.number = static_cast<std::uint32_t>(in.natural(most_leaves));
      if (n.lane.section == 0 || n.lane.number == 0) throw Error("sections and their lanes are counted from 1");
    }
  }

  std::uint32_t scope(TextReader& in) {
    std::uint32_t scope = 0;
    do {
      const std::string name = in.sees("\"") ? in.quoted() : std::string(in.name("the name of a scope"));
      const Index number = in.take("=") ? static_cast<Index>(in.natural(INT64_MAX)) : -1;
      scope = child(scope, name, number);
    } while (in.take("/"));
    return scope;
  }

  std::uint32_t child(std::uint32_t parent, const std::string& name, Index number) {
    Store& store = *g_.store;
    const auto [at, is_new] = scope_names_.emplace(name, static_cast<std::uint32_t>(store.scope_names.size()));
    if (is_new) store.scope_names.push_back(name);
    const auto next = static_cast<std::uint32_t>(store.scopes.size());
    const auto [found, is_new_scope] = scopes_.emplace(std::tuple(parent, at->second, number), next);
    if (is_new_scope) store.scopes.push_back({parent, at->second, number});
    return found->second;
  }

  Graph g_;
  bool begun_ = false, returned_ = false;
  Index elements_ = 0;
  NamedValues names_;
  ParseLimits limits_;
  std::vector<std::size_t> ends_;  // by line that begins a loop: the line that ends it, or 0
  std::int64_t read_ = 0;          // lines
  std::map<std::uint32_t, std::pair<Shape, DType>> inputs_;
  std::unordered_map<std::string, std::uint32_t> scope_names_;
  std::map<std::tuple<std::uint32_t, std::uint32_t, Index>, std::uint32_t> scopes_;
};

}  // namespace

Graph parse(std::string_view text, const ParseLimits& limits) { return Parser(limits).run(text); }

}  // namespace rw::ir
