#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/permute.h>
#include <rewind/autograd/program/graph.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/expressions.h>
#include <rewind/tools/export/op_calls.h>
#include <rewind/tools/export/plan.h>
#include <rewind/tools/export/run_forms.h>

namespace rw::detail {
namespace {

const Length one{.factor = 1};

class Form {
 public:
  explicit Form(const RunOp& r) : r_(r), text_(r.text), node_(r.program.program().ops[r.op].node) {}

  void write() {
    if (node_.info->same_value || name() == "reshape") return copy();
    if (node_.info->elementwise != nullptr || name() == "broadcast_to") return elementwise();
    if (node_.info->product != nullptr) return product();
    static const std::map<std::string_view, void (Form::*)()> forms{
        {"add_n", &Form::sum},           {"concat", &Form::concat},   {"cumsum", &Form::cumsum},
        {"fill", &Form::fill},           {"flip", &Form::flip},       {"log_softmax", &Form::row_function},
        {"logsumexp", &Form::logsumexp}, {"lookup", &Form::lookup},   {"max", &Form::extreme},
        {"min", &Form::extreme},         {"one_hot", &Form::one_hot}, {"permute", &Form::permute},
        {"pick", &Form::pick},           {"slice", &Form::slice},     {"softmax", &Form::row_function},
        {"sum_to", &Form::sum_to}};
    const auto form = forms.find(name());
    if (form == forms.end()) return call();
    (this->*form->second)();
  }

 private:
  template <class... A>
  void line(fmt::format_string<A...> text, A&&... a) {
    text_.line(fmt::format(text, std::forward<A>(a)...));
  }

  std::string_view name() const { return node_.info->name; }
  const RunInput& in(std::size_t k = 0) const { return r_.in[k]; }
  const std::string& x(std::size_t k = 0) const { return r_.in[k].pointer; }
  [[noreturn]] void throw_no_form() const {
    throw Error("export: " + r_.program.describe(r_.op) + " has no form in a header that runs over whole sequences");
  }

  static std::string size(std::span<const Length> lengths) { return product_text(lengths); }
  static std::string variable(std::size_t axis) { return fmt::format("i{}", axis); }
  static std::span<const Length> rows_of(const Lengths& shape) { return std::span(shape).first(shape.size() - 1); }

  /// A loop over each axis that has one; gives the loops' variables, by axis.
  std::vector<std::string> begin_axes(const Lengths& shape, int& loops) {
    std::vector<std::string> along(shape.size());
    for (std::size_t a = 0; a < shape.size(); ++a) {
      if (shape[a] == one) continue;
      along[a] = variable(a);
      text_.begin(along[a], text_of(shape[a]));
      ++loops;
    }
    return along;
  }
  /// The position in an array of this shape, whose last axes are those of a loop; of length 1 it is stretched.
  static std::string position(const Lengths& shape, std::vector<std::string> along) {
    along.erase(along.begin(), along.end() - static_cast<std::ptrdiff_t>(shape.size()));
    for (std::size_t a = 0; a < shape.size(); ++a)
      if (shape[a] == one) along[a].clear();
    return position_text(along, shape);
  }

  /// One element, of any type.
  void move(const std::string& to, const std::string& k, const std::string& from) {
    if (is_real(node_.dtype))
      line("o[{}] = {}[{}];", to, k, from);
    else
      line("std::memcpy(o + ({}), {} + ({}), sizeof *o);", to, k, from);
  }
  void copy() {
    text_.begin("j", size(r_.shape));
    move("j", x(), "j");
    text_.end();
  }

  // ---- Elementwise

  /// A graph of this op alone, for what knows ops.
  ir::Graph alone(const std::vector<std::uint64_t>& words) const {
    ir::Graph g;
    ir::Node copy = node_;
    copy.op = words.data();
    copy.first = copy.arity = copy.scope = 0;
    g.real = r_.program.program().real;
    g.nodes.push_back(copy);
    return g;
  }
  /// The numbers among its attributes, which must not depend on the length.
  std::vector<double> numbers(const std::array<std::vector<std::uint64_t>, 3>& words) const {
    auto all = numbers_of(alone(words[0]), 0);
    if (numbers_of(alone(words[1]), 0) != all || numbers_of(alone(words[2]), 0) != all) throw_depends();
    return all;
  }
  [[noreturn]] void throw_depends() const {
    throw Error("export: " + r_.program.describe(r_.op) + " has a number that depends on the length or the batch");
  }
  std::string value(const std::vector<std::string>& inputs) const {
    const auto words = r_.program.attributes_at(r_.op, {});
    if (name() != "broadcast_to" && node_.info->attribute_size > 0 && node_.info->write != nullptr) numbers(words);
    return expression(alone(words[0]), 0, inputs, r_.own);
  }

  void elementwise() {
    std::vector<std::string> inputs;
    const bool flat = std::all_of(r_.in.begin(), r_.in.end(),
                                  [&](const RunInput& i) { return size(i.shape) == "1" || i.shape == r_.shape; });
    for (const RunInput& i : r_.in)
      if (!is_real(i.dtype)) throw_no_form();
    int loops = 1;
    std::string to = "j";
    std::vector<std::string> along;
    if (flat) {
      text_.begin("j", size(r_.shape));
    } else {
      loops = 0;
      along = begin_axes(r_.shape, loops);
      to = position(r_.shape, along);
    }
    for (const RunInput& i : r_.in)
      inputs.push_back(fmt::format("{}[{}]", i.pointer,
                                   !flat                  ? position(i.shape, along)
                                   : size(i.shape) == "1" ? "0"
                                                          : "j"));
    line("o[{}] = {};", to, value(inputs));
    text_.end(loops);
  }

  void sum() {
    text_.begin("j", size(r_.shape));
    line("double total = 0;");
    for (const RunInput& i : r_.in) {
      if (i.count == one) {
        line("total += double({}[j]);", i.pointer);
        continue;
      }
      line("for (std::ptrdiff_t k = 0; k < {}; ++k) total += double(({})[j]);", text_of(i.count), i.pointer);
    }
    line("o[j] = Real(total);");
    text_.end();
  }

  void fill() {
    const auto words = r_.program.attributes_at(r_.op, {});
    std::array<double, 3> values{};
    for (std::size_t k = 0; k < 3; ++k) values[k] = SizedProgram::Attributes::as<Fill>(words[k]).value;
    std::string number = literal(values[0], r_.program.program().real);
    if (values[0] != values[1] || values[0] != values[2])
      number = "Real(" + text_of(of_one_sequence(r_.program.length_in(values, r_.op))) + ")";
    line("for (std::ptrdiff_t j = 0; j < {}; ++j) o[j] = {};", size(r_.shape), number);
  }

  // ---- Products

  void product() {
    const ProductFact fact = node_.info->product(node_.op);
    const Lengths &a = in(0).shape, &b = in(1).shape;
    const Length rows = r_.shape[r_.shape.size() - 2], columns = r_.shape.back();
    const Length k = fact.ta ? a[a.size() - 2] : a.back();
    line("for (std::ptrdiff_t j = 0; j < {}; ++j) o[j] = 0;", size(r_.shape));
    if (b.size() == 2 && !fact.ta && k.is_number() && columns.is_number() && k != Length{} && columns != Length{}) {
      text_.begin("r", size(rows_of(r_.shape)));
      line("math::{}<{}, {}>({} + {} * r, {}, o + {} * r);", fact.tb ? "add_dots" : "add_product", text_of(k),
           text_of(columns), x(0), text_of(k), x(1), text_of(columns));
      text_.end();
      return;
    }
    // One matrix for all of a: leading axes of a are rows.
    const bool shared = b.size() == 2 && !fact.ta;
    text_.begin("b", shared ? "1" : size(std::span(r_.shape).first(r_.shape.size() - 2)));
    text_.begin("r", shared ? size(rows_of(r_.shape)) : text_of(rows));
    text_.begin("k", text_of(k));
    text_.begin("j", text_of(columns));
    const std::string m = text_of(rows), n = text_of(columns), inner = text_of(k);
    const std::string from =
        fact.ta ? fmt::format("(b * {} + k) * {} + r", inner, m) : fmt::format("(b * {} + r) * {} + k", m, inner);
    const std::string with =
        fact.tb ? fmt::format("(b * {} + j) * {} + k", n, inner) : fmt::format("(b * {} + k) * {} + j", inner, n);
    line("o[(b * {} + r) * {} + j] += {}[{}] * {}[{}];", m, n, x(0), from, x(1), with);
    text_.end(4);
  }

  // ---- Over axes

  /// A loop over the value's elements, each with a loop over what it is made of; `to` and `from` are positions.
  template <class F>
  void reduce(const std::string& begin, const F& step, const std::string& end) {
    const Lengths& whole = in().shape;
    const std::size_t more = whole.size() - r_.shape.size();
    std::vector<std::string> along(whole.size());
    std::vector<std::size_t> within;
    int loops = 0, inner = 0;
    for (std::size_t a = 0; a < whole.size(); ++a) {
      if (whole[a] == one) continue;
      along[a] = variable(a);
      if (a < more || r_.shape[a - more] == one) {
        within.push_back(a);
      } else {
        text_.begin(along[a], text_of(whole[a]));
        ++loops;
      }
    }
    const std::string to = position(r_.shape, along);
    line("{{");
    ++text_.depth;
    line("{}", begin);
    for (const std::size_t a : within) {
      text_.begin(along[a], text_of(whole[a]));
      ++inner;
    }
    line("{}", step(fmt::format("{}[{}]", x(), position(whole, along))));
    text_.end(inner);
    line("o[{}] = {};", to, end);
    text_.end(loops + 1);
  }
  void sum_to() {
    reduce(
        "double total = 0;", [](const std::string& from) { return "total += double(" + from + ");"; }, "Real(total)");
  }
  void extreme() {
    const bool largest = name() == "max";
    reduce(
        fmt::format("Real best = {}Real(INFINITY);", largest ? "-" : ""),
        [&](const std::string& from) {
          return fmt::format("best = math::{}(best, {});", largest ? "maximum" : "minimum", from);
        },
        "best");
  }
  void row_function() {
    const std::string n = text_of(r_.shape.back());
    text_.begin("r", size(rows_of(r_.shape)));
    line("math::{0}_of({1} + {2} * r, {2}, o + {2} * r);", name(), x(), n);
    text_.end();
  }
  void logsumexp() {
    const std::string n = text_of(in().shape.back());
    text_.begin("r", size(rows_of(in().shape)));
    line("o[r] = math::logsumexp_of({0} + {1} * r, {1});", x(), n);
    text_.end();
  }
  void cumsum() {
    const std::vector<double> attribute = numbers(r_.program.attributes_at(r_.op, {}));
    const auto axis = static_cast<std::size_t>(attribute[0]);
    const std::string n = text_of(r_.shape[axis]), inner = size(std::span(r_.shape).subspan(axis + 1));
    text_.begin("b", size(std::span(r_.shape).first(axis)));
    text_.begin("i", inner);
    line("double total = 0;");
    text_.begin("k", n);
    line("const std::ptrdiff_t at = (b * {} + {}) * ({}) + i;", n,
         attribute[1] != 0 ? fmt::format("({} - 1 - k)", n) : "k", inner);
    line("total += double({}[at]);", x());
    line("o[at] = Real(total);");
    text_.end(3);
  }

  // ---- Parts of things

  void slice() {
    const auto words = r_.program.attributes_at(r_.op, {});
    const auto axis = static_cast<std::size_t>(SizedProgram::Attributes::as<Slice>(words[0]).axis);
    int loops = 0;
    std::vector<std::string> along = begin_axes(r_.shape, loops);
    const std::string to = position_text(along, r_.shape);
    along[axis] = along[axis].empty() ? r_.start : r_.start + " + " + along[axis];
    need_inside(words, axis);
    move(to, x(), position_text(along, in().shape));
    text_.end(loops);
  }
  /// A part that begins at a number must end before the sequence does.
  void need_inside(const std::array<std::vector<std::uint64_t>, 3>& words, std::size_t axis) {
    std::array<Index, 3> ends{};
    for (std::size_t k = 0; k < 3; ++k) {
      const auto& s = SizedProgram::Attributes::as<Slice>(words[k]);
      ends[k] = s.start + s.length;
    }
    const Length end = of_one_sequence(r_.program.length_of(ends, r_.op));
    if (end.is_number()) r_.need(in().shape[axis], end.factor);
  }

  void concat() {
    const auto axis = static_cast<std::size_t>(*static_cast<const Index*>(node_.op));
    std::string before;
    for (const RunInput& i : r_.in) {
      if (i.count != one) text_.begin("k", text_of(i.count));
      int loops = 0;
      std::vector<std::string> along = begin_axes(i.shape, loops);
      const std::string from = position_text(along, i.shape), length = text_of(i.shape[axis]);
      std::string at = before;
      const auto add = [&](const std::string& term) {
        if (!term.empty()) at += (at.empty() ? "" : " + ") + term;
      };
      if (i.count != one) add("k * " + length);
      add(along[axis]);
      along[axis] = at;
      move(position_text(along, r_.shape), i.count == one ? i.pointer : "(" + i.pointer + ")", from);
      text_.end(loops + (i.count != one ? 1 : 0));
      const std::array<Length, 2> all{i.count, i.shape[axis]};
      before += (before.empty() ? "" : " + ") + product_text(all);
    }
  }

  void permute() {
    const auto& op = *static_cast<const Permute*>(node_.op);
    int loops = 0;
    const std::vector<std::string> along = begin_axes(r_.shape, loops);
    std::vector<std::string> from(along.size());
    for (std::size_t a = 0; a < along.size(); ++a) from[static_cast<std::size_t>(op.axes[a])] = along[a];
    move(position_text(along, r_.shape), x(), position_text(from, in().shape));
    text_.end(loops);
  }

  void flip() {
    const auto axis = static_cast<std::size_t>(static_cast<const Flip*>(node_.op)->axis);
    int loops = 0;
    std::vector<std::string> along = begin_axes(r_.shape, loops);
    const std::string to = position_text(along, r_.shape);
    if (!along[axis].empty()) along[axis] = fmt::format("({} - 1 - {})", text_of(r_.shape[axis]), along[axis]);
    move(to, x(), position_text(along, in().shape));
    text_.end(loops);
  }

  // ---- With indices: one that is outside gives nan, and nothing is read there

  void begin_indices(const RunInput& indices, const Length& bound) {
    text_.begin("i", size(indices.shape));
    line("std::int32_t index;");
    line("std::memcpy(&index, {} + i, sizeof index);", indices.pointer);
    line("const bool inside = index >= 0 && index < {};", text_of(bound));
    line("const std::ptrdiff_t at = inside ? index : 0;");
  }
  void lookup() {
    const std::string n = text_of(in().shape.back());
    begin_indices(in(1), in().shape[0]);
    line("for (std::ptrdiff_t j = 0; j < {0}; ++j) o[i * {0} + j] = inside ? {1}[at * {0} + j] : Real(NAN);", n, x());
    text_.end();
  }
  void one_hot() {
    const std::string n = text_of(r_.shape.back());
    begin_indices(in(), r_.shape.back());
    line(
        "for (std::ptrdiff_t j = 0; j < {0}; ++j) o[i * {0} + j] = !inside ? Real(NAN) : (j == at ? Real(1) : "
        "Real(0));",
        n);
    text_.end();
  }
  void pick() {
    begin_indices(in(1), in().shape.back());
    line("o[i] = inside ? {}[i * {} + at] : Real(NAN);", x(), text_of(in().shape.back()));
    text_.end();
  }

  // ---- Functions of `math`

  void call() {
    const auto words = r_.program.attributes_at(r_.op, {});
    const auto at_sizes = [&](std::string_view attribute, std::size_t k, double usual) {
      std::array<double, 3> all{};
      for (std::size_t size = 0; size < 3; ++size)
        all[size] = number_of(attributes(alone(words[size]), 0), attribute, k, usual);
      return all;
    };
    OpCall c{
        .in = {},
        .out = {"o", r_.shape},
        .number =
            [&](std::string_view attribute, double usual) {
              const std::array<double, 3> all = at_sizes(attribute, 0, usual);
              if (all[1] != all[0] || all[2] != all[0]) throw_depends();
              return all[0];
            },
        .length =
            [&](std::string_view attribute, std::size_t k, Index usual) {
              return of_one_sequence(r_.program.length_in(at_sizes(attribute, k, static_cast<double>(usual)), r_.op));
            }};
    for (const RunInput& i : r_.in) c.in.push_back({i.pointer, i.shape});
    const std::optional<std::string> text = op_call(name(), c);
    if (!text) throw_no_form();
    line("{}", *text);
    if (name() == "sort") need_room(r_.shape.back());
    if (name() == "unsort") need_room(in(1).shape.back());
  }
  /// As many numbers as are taken from each row.
  void need_room(const Length& taken) {
    if (taken.is_number()) r_.need(in().shape.back(), taken.factor + taken.more);
  }

  const RunOp& r_;
  RunText& text_;
  const ir::Node& node_;
};

}  // namespace

void RunText::line(const std::string& text) {
  out += std::string(static_cast<std::size_t>(2 * depth), ' ') + text + "\n";
}
void RunText::begin(const std::string& variable, const std::string& count) {
  line(fmt::format("for (std::ptrdiff_t {0} = 0; {0} < {1}; ++{0}) {{", variable, count));
  ++depth;
}
void RunText::end(int loops) {
  for (; loops > 0; --loops) {
    --depth;
    line("}");
  }
}

void write_run_op(const RunOp& op) { Form(op).write(); }

}  // namespace rw::detail
