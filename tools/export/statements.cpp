#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include <rewind/autograd/permute.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/expressions.h>
#include <rewind/tools/export/op_calls.h>
#include <rewind/tools/export/statements.h>

namespace rw::detail {
namespace {

using ir::Graph;

/// A shape as [outer, length, inner] around one axis.
struct AroundAxis {
  Index outer = 1, length = 1, inner = 1;

  AroundAxis(const Shape& shape, Index axis) : length(shape[static_cast<int>(axis)]) {
    for (int i = 0; i < shape.rank(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
  }
};

/// Compilers write loops of functions out and put products where they are called. That is quick, and for two layers of
/// LSTM it would be too much code.
bool is_long(const Plan& plan) {
  constexpr Index most = 12;
  return most < std::count_if(
                    plan.units.begin(), plan.units.end(),
                    [&](const Unit& u) {
                      return u.kind == Unit::Kind::product || takes_a_function(plan.graph(), u.nodes[0]);
                    });
}

std::string type_name(DType dtype) { return dtype == DType::i32 ? "std::int32_t" : "Real"; }

class Writer {
 public:
  Writer(const Plan& plan, const std::map<std::string, std::string>& expressions)
      : plan_(plan), g_(plan.graph()), expressions_(expressions), compact_(is_long(plan)) {}

  std::string run() {
    copy_x();
    for (const Unit& u : plan_.units) write(u);
    results();
    return std::move(out_);
  }

 private:
  template <class... A>
  void line(fmt::format_string<A...> text, A&&... a) {
    out_ += std::string(at(2 * depth_), ' ') + fmt::format(text, std::forward<A>(a)...) + "\n";
  }
  /// `for (std::size_t i = 0; i < n; ++i)`, around what is written until `end`.
  void begin(std::string_view variable, Index n) {
    line("for (std::size_t {0} = 0; {0} < {1}; ++{0}) {{", variable, n);
    ++depth_;
  }
  void end(int loops = 1) {
    for (; loops > 0; --loops) {
      --depth_;
      line("}}");
    }
  }

  const ir::Node& node(NodeId i) const { return g_.nodes[i]; }
  const Shape& shape(NodeId i) const { return g_.nodes[i].shape; }

  // ---- Names

  std::string name(const Place& p) const {
    const Buffer& b = plan_.buffer(p);
    if (b.kind == Buffer::Kind::weight) return "w." + b.name;
    return b.kind == Buffer::Kind::x && b.capacity > b.size ? b.name + "_padded" : b.name;
  }
  /// A pointer to a node's numbers.
  std::string pointer(NodeId i) const { return pointer(plan_.places[i]); }
  std::string pointer(const Place& p) const {
    return p.offset == 0 ? name(p) : fmt::format("{} + {}", name(p), p.offset);
  }
  /// Number `index` of a node.
  std::string number(NodeId i, const std::string& index) const { return number(plan_.places[i], index); }
  std::string number(const Place& p, const std::string& index) const {
    if (index == "0") return fmt::format("{}[{}]", name(p), p.offset);
    return p.offset == 0 ? fmt::format("{}[{}]", name(p), index) : fmt::format("{}[{} + {}]", name(p), p.offset, index);
  }

  void declare(const Place& p) {
    const Buffer& b = plan_.buffer(p);
    line("{}{} {}[{}];", b.size == 0 ? "[[maybe_unused]] " : "", type_name(b.dtype), b.name,
         std::max<Index>(b.capacity, 1));
  }
  /// What loops read beyond the end must be numbers.
  void clear_rest(const Place& p) {
    const Buffer& b = plan_.buffer(p);
    const Index written = plan_.written[at(p.buffer)];
    if (b.capacity > written) line("for (std::size_t j = {}; j < {}; ++j) {}[j] = 0;", written, b.capacity, b.name);
  }

  void copy_x() {
    for (const Buffer& b : plan_.buffers) {
      if (b.kind != Buffer::Kind::x || b.capacity == b.size) continue;
      line("Real {}_padded[{}] = {{}};", b.name, b.capacity);
      line("std::memcpy({0}_padded, {0}, {1} * sizeof(Real));", b.name, b.size);
    }
  }

  // ---- Units

  void write(const Unit& u) {
    const NodeId i = u.nodes[0];
    line("// {}{}", g_.nodes[i].scope == 0 ? "" : g_.scope_path(g_.nodes[i].scope) + ": ", title(u));
    if (!u.in_place)
      for (const NodeId n : u.nodes)
        if (plan_.places[n].buffer >= 0) declare(plan_.places[n]);
    if (shape(i).size() > 0) {
      if (u.kind == Unit::Kind::loop) loop(u);
      if (u.kind == Unit::Kind::product) product(u);
      if (u.kind == Unit::Kind::other) other(i);
    }
    if (!u.in_place)
      for (const NodeId n : u.nodes)
        if (plan_.places[n].buffer >= 0) clear_rest(plan_.places[n]);
  }

  std::string title(const Unit& u) const {
    if (u.kind == Unit::Kind::product)
      return fmt::format("{} {} x {}", node(u.product).info->name, shape(g_.in(u.product, 0)).str(),
                         shape(g_.in(u.product, 1)).str());
    std::string names;
    for (std::size_t k = 0; k < std::min<std::size_t>(u.nodes.size(), 12); ++k)
      names += (k == 0 ? "" : ", ") + std::string(node(u.nodes[k]).info->name);
    return names + (u.nodes.size() > 12 ? ", ..." : "") + " " + shape(u.nodes[0]).str();
  }

  static std::string variable(std::size_t axis, std::size_t axes) { return axes == 1 ? "j" : fmt::format("i{}", axis); }
  static std::string index(std::span<const Index> strides) {
    std::string sum;
    for (std::size_t a = 0; a < strides.size(); ++a) {
      if (strides[a] == 0) continue;
      if (!sum.empty()) sum += " + ";
      sum += strides[a] == 1 ? variable(a, strides.size())
                             : fmt::format("{} * {}", strides[a], variable(a, strides.size()));
    }
    return sum.empty() ? "0" : sum;
  }
  static std::vector<Index> own_strides(std::span<const Index> lengths) {
    std::vector<Index> strides(lengths.size(), 1);
    for (std::size_t a = lengths.size(); a-- > 1;) strides[a - 1] = strides[a] * lengths[a];
    return strides;
  }

  std::string text(const Read& r) const {
    if (r.variable != no_node) return fmt::format("v{}", r.variable);
    if (!r.number.empty()) return r.number;
    return number(r.place, index(r.strides));
  }

  void begin_loops(const Unit& u) {
    if (u.lengths.empty()) {
      line("{{");
      ++depth_;
    }
    for (std::size_t a = 0; a < u.lengths.size(); ++a) {
      if (compact_ && a + 1 == u.lengths.size() && takes_a_function(g_, u.nodes[0])) out_ += "#pragma GCC unroll 1\n";
      begin(variable(a, u.lengths.size()), u.lengths[a]);
    }
  }
  void end_loops(const Unit& u) { end(std::max<int>(static_cast<int>(u.lengths.size()), 1)); }

  void loop(const Unit& u) {
    begin_loops(u);
    const std::string own = index(own_strides(u.lengths));
    for (std::size_t k = 0; k < u.nodes.size(); ++k) {
      const NodeId i = u.nodes[k];
      std::vector<std::string> inputs;
      for (const Read& r : u.reads[k]) inputs.push_back(text(r));
      const std::string value = expression(g_, i, inputs, expressions_);
      const bool is_read = std::any_of(u.reads.begin(), u.reads.end(), [i](const auto& reads) {
        return std::any_of(reads.begin(), reads.end(), [i](const Read& r) { return r.variable == i; });
      });
      if (is_read) line("const Real v{} = {};", i, value);
      if (plan_.places[i].buffer >= 0) line("{} = {};", number(i, own), is_read ? fmt::format("v{}", i) : value);
    }
    end_loops(u);
  }

  void product(const Unit& u) {
    const NodeId i = u.nodes[0], p = u.product, x = g_.in(p, 0), w = g_.in(p, 1);
    if (!u.in_place) {
      begin_loops(u);
      line("{} = {};", number(i, index(own_strides(u.lengths))), u.begins_with != no_node ? text(u.reads[0][0]) : "0");
      end_loops(u);
    }
    const Shape &a = shape(x), &y = shape(p);
    const ProductFact fact = ir::product_of(g_, p);
    const Index rows = y[y.rank() - 2], n = y.cols(), k = summed(p);
    if (k == 0) return;
    if (fact.ta || shape(w).rank() > 2) return product_of_matrices(i, p, a.rank() > 2 ? y.size() / (rows * n) : 1);
    const Index all_rows = y.size() / n;
    const bool int8 = plan_.buffer(plan_.places[w]).int8;
    const std::string_view form = u.rows_of_weights ? "add_dots" : compact_ && !int8 ? "shared_product" : "add_product";
    const std::string call = fmt::format("math::{}{}<{}, {}>", form, int8 ? "_int8" : "", k, n);
    const std::string weights = int8 ? fmt::format("{0}, {0}_scale", pointer(w)) : pointer(w);
    if (all_rows == 1) {
      line("{}({}, {}, {});", call, pointer(x), weights, pointer(i));
      return;
    }
    begin("r", all_rows);
    line("{}({} + {} * r, {}, {} + {} * r);", call, pointer(x), k, weights, pointer(i), n);
    end();
  }

  /// How many products each number of a product is the sum of.
  Index summed(NodeId p) const {
    const Shape& w = shape(g_.in(p, 1));
    return w[w.rank() - (ir::product_of(g_, p).tb ? 1 : 2)];
  }

  /// Any operands, transposed or not, of as many matrices.
  void product_of_matrices(NodeId i, NodeId p, Index matrices) {
    const ProductFact fact = ir::product_of(g_, p);
    const Shape& y = shape(p);
    const Index m = y[y.rank() - 2], n = y.cols(), k = summed(p);
    begin("b", matrices);
    begin("r", m);
    begin("k", k);
    begin("j", n);
    const std::string a =
        fact.ta ? fmt::format("{} * b + {} * k + r", m * k, m) : fmt::format("{} * b + {} * r + k", m * k, k);
    const std::string w =
        fact.tb ? fmt::format("{} * b + {} * j + k", n * k, k) : fmt::format("{} * b + {} * k + j", n * k, n);
    line("{} += {} * {};", number(i, fmt::format("{} * b + {} * r + j", m * n, n)), number(g_.in(p, 0), a),
         number(g_.in(p, 1), w));
    end(4);
  }

  // ---- Other ops

  void other(NodeId i) {
    using Form = void (Writer::*)(NodeId);
    static const std::map<std::string_view, Form> forms{{"slice", &Writer::slice},
                                                        {"concat", &Writer::concat},
                                                        {"sum_to", &Writer::sum_to},
                                                        {"max", &Writer::extreme},
                                                        {"min", &Writer::extreme},
                                                        {"softmax", &Writer::row_function},
                                                        {"log_softmax", &Writer::row_function},
                                                        {"logsumexp", &Writer::logsumexp},
                                                        {"permute", &Writer::permute},
                                                        {"flip", &Writer::flip},
                                                        {"lookup", &Writer::lookup},
                                                        {"one_hot", &Writer::one_hot},
                                                        {"pick", &Writer::pick},
                                                        {"cumsum", &Writer::cumsum}};
    const auto form = forms.find(node(i).info->name);
    if (form == forms.end()) return call(i);
    (this->*form->second)(i);
  }

  double attribute(NodeId i, std::string_view name, std::size_t k, double usual) const {
    return number_of(attributes(g_, i), name, k, usual);
  }
  void call(NodeId i) {
    const auto operand = [&](NodeId x) {
      CallOperand o{.pointer = pointer(x), .shape = {}};
      for (int a = 0; a < shape(x).rank(); ++a) o.shape.push_back({.factor = shape(x)[a]});
      return o;
    };
    OpCall c{.in = {},
             .out = operand(i),
             .number = [&](std::string_view name, double usual) { return attribute(i, name, 0, usual); },
             .length =
                 [&](std::string_view name, std::size_t k, Index usual) {
                   return Length{.factor = static_cast<Index>(attribute(i, name, k, static_cast<double>(usual)))};
                 }};
    for (const NodeId x : g_.in(i)) c.in.push_back(operand(x));
    const std::optional<std::string> text = op_call(node(i).info->name, c);
    if (!text) throw_no_form(g_, i);
    line("{}", *text);
  }

  void copy(const std::string& to, const std::string& from, Index n, DType dtype) {
    if (n == 0) return;
    line("std::memcpy({}, {}, {} * sizeof({}));", to, from, n, type_name(dtype));
  }
  void fill(NodeId i, const std::string& value) {
    line("for (std::size_t j = 0; j < {}; ++j) {} = {};", shape(i).size(), number(i, "j"), value);
  }

  void slice(NodeId i) {
    const Slice& s = g_.op<Slice>(i);
    const AroundAxis from(shape(g_.in(i, 0)), s.axis), to(shape(i), s.axis);
    begin("o", from.outer);
    copy(fmt::format("{} + {} * o", pointer(i), to.length * to.inner),
         fmt::format("{} + {} * o + {}", pointer(g_.in(i, 0)), from.length * from.inner, s.start * from.inner),
         to.length * to.inner, node(i).dtype);
    end();
  }

  void concat(NodeId i) {
    const Index axis = g_.op<Concat>(i).axis;
    const AroundAxis to(shape(i), axis);
    Index start = 0;
    for (const NodeId x : g_.in(i)) {
      const AroundAxis from(shape(x), axis);
      const Index n = from.length * from.inner;
      if (n > 0 && to.outer == 1) copy(fmt::format("{} + {}", pointer(i), start), pointer(x), n, node(i).dtype);
      if (n > 0 && to.outer > 1) {
        begin("o", to.outer);
        copy(fmt::format("{} + {} * o + {}", pointer(i), to.length * to.inner, start),
             fmt::format("{} + {} * o", pointer(x), n), n, node(i).dtype);
        end();
      }
      start += n;
    }
  }

  /// The index of a number of the reduced value, from the indices of the whole one's axes.
  std::string reduced_index(const Shape& whole, const Shape& reduced) const {
    std::string sum;
    Index stride = 1;
    for (int a = reduced.rank(); a-- > 0;) {
      const int of_whole = a + whole.rank() - reduced.rank();
      if (reduced[a] != 1) sum += fmt::format("{}{} * i{}", sum.empty() ? "" : " + ", stride, of_whole);
      stride *= reduced[a];
    }
    return sum.empty() ? "0" : sum;
  }
  std::string begin_axes(const Shape& whole) {
    begin_axes_where(whole, [](int) { return true; });
    return index_of_axes(whole);
  }
  /// Their number.
  template <class Chosen>
  int begin_axes_where(const Shape& whole, const Chosen& chosen) {
    int loops = 0;
    for (int a = 0; a < whole.rank(); ++a) {
      if (!chosen(a)) continue;
      begin(fmt::format("i{}", a), whole[a]);
      ++loops;
    }
    return loops;
  }
  static std::string index_of_axes(const Shape& whole) {
    std::string all;
    Index stride = whole.size();
    for (int a = 0; a < whole.rank(); ++a) {
      stride /= std::max<Index>(whole[a], 1);
      all += fmt::format("{}{} * i{}", a == 0 ? "" : " + ", stride, a);
    }
    return all.empty() ? "0" : all;
  }

  /// Sums are made as exactly as the library makes them: contiguous numbers in pairs, others in doubles.
  void sum_to(NodeId i) {
    const NodeId x = g_.in(i, 0);
    const Index n = shape(i).size() == 0 ? 0 : shape(x).size() / shape(i).size();
    if (n == 0) return fill(i, "0");
    if (sums_last_axes(i)) {
      begin("r", shape(i).size());
      line("{} = math::sum<{}>({} + {} * r);", number(i, "r"), n, pointer(x), n);
      end();
      return;
    }
    const Shape& whole = shape(x);
    const int loops = begin_axes_where(whole, [&](int a) { return is_kept(i, a); });
    line("double total = 0;");
    const int within = begin_axes_where(whole, [&](int a) { return !is_kept(i, a); });
    line("total += double({});", number(x, index_of_axes(whole)));
    end(within);
    line("{} = Real(total);", number(i, reduced_index(whole, shape(i))));
    end(loops);
  }
  /// Whether an axis of what is summed is one of the sum.
  bool is_kept(NodeId i, int axis) const {
    const Shape& whole = shape(g_.in(i, 0));
    const int own = axis - (whole.rank() - shape(i).rank());
    return whole[axis] == 1 || (own >= 0 && shape(i)[own] != 1);
  }
  bool sums_last_axes(NodeId i) const {
    const Shape& whole = shape(g_.in(i, 0));
    bool summed = true;
    for (int a = whole.rank(); a-- > 0;) {
      if (whole[a] == 1) continue;
      if (!summed && !is_kept(i, a)) return false;
      summed = !is_kept(i, a);
    }
    return true;
  }

  void extreme(NodeId i) {
    const NodeId x = g_.in(i, 0);
    const bool largest = node(i).info->name == "max";
    fill(i, largest ? "-Real(INFINITY)" : "Real(INFINITY)");
    const std::string from = begin_axes(shape(x)), to = number(i, reduced_index(shape(x), shape(i)));
    line("{} = math::{}({}, {});", to, largest ? "maximum" : "minimum", to, number(x, from));
    end(shape(x).rank());
  }

  void row_function(NodeId i) {
    const Index n = shape(i).cols();
    begin("r", shape(i).rows());
    line("math::{}<{}>({} + {} * r, {} + {} * r);", node(i).info->name, n, pointer(g_.in(i, 0)), n, pointer(i), n);
    end();
  }

  void logsumexp(NodeId i) {
    const Index n = shape(g_.in(i, 0)).cols();
    begin("r", shape(i).rows());
    line("{} = math::logsumexp<{}>({} + {} * r);", number(i, "r"), n, pointer(g_.in(i, 0)), n);
    end();
  }

  // ---- Ops with indices: one that is outside gives nan, and nothing is read or written there

  void begin_indices(NodeId indices, Index bound) {
    begin("i", shape(indices).size());
    line("const std::int32_t index = {};", number(indices, "i"));
    line("const bool inside = index >= 0 && index < {};", bound);
    line("const std::size_t at = inside ? static_cast<std::size_t>(index) : 0;");
  }

  void lookup(NodeId i) {
    const NodeId table = g_.in(i, 0);
    const Index columns = shape(table).cols();
    begin_indices(g_.in(i, 1), shape(table)[0]);
    std::string value = number(table, fmt::format("{} * at + j", columns));
    if (plan_.buffer(plan_.places[table]).int8) value = fmt::format("Real({}) * {}_scale[at]", value, pointer(table));
    line("for (std::size_t j = 0; j < {}; ++j) {} = inside ? {} : Real(NAN);", columns,
         number(i, fmt::format("{} * i + j", columns)), value);
    end();
  }

  void one_hot(NodeId i) {
    const Index classes = shape(i).cols();
    begin_indices(g_.in(i, 0), classes);
    line("for (std::size_t j = 0; j < {}; ++j) {} = !inside ? Real(NAN) : (j == at ? Real(1) : Real(0));", classes,
         number(i, fmt::format("{} * i + j", classes)));
    end();
  }

  void pick(NodeId i) {
    const Index n = shape(g_.in(i, 0)).cols();
    begin_indices(g_.in(i, 1), n);
    line("{} = inside ? {} : Real(NAN);", number(i, "i"), number(g_.in(i, 0), fmt::format("{} * i + at", n)));
    end();
  }

  // ---- Ops that move elements

  void permute(NodeId i) {
    const NodeId x = g_.in(i, 0);
    const Permute& op = g_.op<Permute>(i);
    std::array<Index, max_rank> strides{};
    Index stride = 1;
    for (int a = shape(x).rank(); a-- > 0;) {
      strides[at(a)] = stride;
      stride *= shape(x)[a];
    }
    const std::string to = begin_axes(shape(i));
    std::string from;
    for (int a = 0; a < shape(i).rank(); ++a)
      from += fmt::format("{}{} * i{}", a == 0 ? "" : " + ", strides[at(op.axes[at(a)])], a);
    line("{} = {};", number(i, to), number(x, from));
    end(shape(i).rank());
  }

  void flip(NodeId i) {
    const AroundAxis axis(shape(i), g_.op<Flip>(i).axis);
    begin("o", axis.outer);
    begin("i", axis.length);
    copy(fmt::format("{} + ({} * o + {} - i) * {}", pointer(i), axis.length, axis.length - 1, axis.inner),
         fmt::format("{} + ({} * o + i) * {}", pointer(g_.in(i, 0)), axis.length, axis.inner), axis.inner,
         node(i).dtype);
    end(2);
  }

  void cumsum(NodeId i) {
    const std::vector<double> attribute = numbers_of(g_, i);
    const AroundAxis axis(shape(i), static_cast<Index>(attribute[0]));
    const bool from_end = attribute[1] != 0;
    begin("o", axis.outer);
    begin("i", axis.inner);
    line("double total = 0;");
    begin("k", axis.length);
    line("const std::size_t at = ({} * o + {}) * {} + i;", axis.length,
         from_end ? fmt::format("{} - k", axis.length - 1) : "k", axis.inner);
    line("total += double({});", number(g_.in(i, 0), "at"));
    line("{} = Real(total);", number(i, "at"));
    end(3);
  }

  // ---- What leaves

  /// A result that lies in the state is copied before the state is written, and the first, which may be the caller's x,
  /// last.
  void results() {
    line("// Results.");
    const std::vector<Result>& results = plan_.program.results;
    for (std::size_t k = 0; k < results.size(); ++k) {
      const NodeId o = g_.outputs[k];
      if (results[k].adds || plan_.buffer(plan_.places[o]).kind != Buffer::Kind::state || is_already_there(k)) continue;
      line("{} before{}[{}];", type_name(node(o).dtype), k, shape(o).size());
      copy(fmt::format("before{}", k), pointer(o), shape(o).size(), node(o).dtype);
    }
    for (std::size_t k = 1; k <= results.size(); ++k) result(k % results.size());
  }
  void result(std::size_t k) {
    const Result& r = plan_.program.results[k];
    const NodeId o = g_.outputs[k];
    const Index n = shape(o).size();
    if (adds_nothing(plan_.program, k)) return;
    if (r.adds && n == 1)
      line("{}[0] += {};", r.to, number(o, "0"));
    else if (r.adds)
      line("for (std::size_t j = 0; j < {}; ++j) {}[j] += {};", n, r.to, number(o, "j"));
    else if (!is_already_there(k))
      copy(r.to, plan_.buffer(plan_.places[o]).kind == Buffer::Kind::state ? fmt::format("before{}", k) : pointer(o), n,
           node(o).dtype);
  }
  /// A tensor of the state that the step leaves as it is.
  bool is_already_there(std::size_t k) const {
    const Place& p = plan_.places[g_.outputs[k]];
    return p.offset == 0 && plan_.buffer(p).name == plan_.program.results[k].to;
  }

  const Plan& plan_;
  const Graph& g_;
  const std::map<std::string, std::string>& expressions_;
  bool compact_;
  std::string out_;
  Index depth_ = 1;
};

}  // namespace

std::string step_body(const Plan& plan, const std::map<std::string, std::string>& expressions) {
  return Writer(plan, expressions).run();
}

}  // namespace rw::detail
