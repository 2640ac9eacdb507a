#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/leaves.h>
#include <rewind/tools/export/run_body.h>
#include <rewind/tools/export/run_forms.h>
#include <rewind/tools/export/step_program.h>

namespace rw::detail {
namespace {

/// Loops stay loops, but for those of a known number of steps that read arrays of other shapes at other steps, as
/// layers do: these are written out. A value that only its own step reads has one place in the workspace, any other one
/// as many as there are steps.
class RunWriter {
 public:
  RunWriter(const SizedProgram& program, const RecordedSequence& sequence,
            const std::map<std::string, std::string>& own, bool int8)
      : program_(program),
        names_(sequence.names),
        start_(sequence.start),
        own_(own),
        int8_(int8),
        kept_(program.program().ops.size()) {}

  RunBody run() {
    look_at_reads();
    line("Real* next = workspace;");
    line("static_cast<void>(next);");
    place_leaves();
    for (std::uint32_t i = 0; i < program_.program().ops.size(); ++i) place_op(i);
    items(0, program_.program().items.size());
    results();
    out_.statements = std::move(text_.out);
    out_.functions = functions();
    out_.workspace = workspace_.text();
    return std::move(out_);
  }

 private:
  template <class... A>
  void line(fmt::format_string<A...> text, A&&... a) {
    text_.line(fmt::format(text, std::forward<A>(a)...));
  }

  const ir::Program& program() const { return program_.program(); }
  std::vector<std::uint32_t> around(std::uint32_t op) const {
    const auto loops = program_.loops_around(op);
    return {loops.begin(), loops.end()};
  }
  Length trips(std::size_t item) const { return of_one_sequence(program_.trips(item)); }
  Lengths shape_of(const SizedSource& s) const { return of_one_sequence(program_.shape_of(s)); }

  /// Sequences shorter than that lack something that is read.
  void need(const Length& l, Index at_least) {
    if (l.is_number() || l.factor < 1) return;
    out_.least_steps = std::max(out_.least_steps, (at_least - l.more + l.factor - 1) / l.factor);
  }

  // ---- What is read, and where it is

  /// Calls f for whatever an operand is: at the first steps of loops it may be something else.
  template <class F>
  void each_source(std::uint32_t i, F&& f) {
    for (std::uint32_t input = 0; input < program_.inputs(i); ++input) {
      const auto [single, many] = values_of(i, input);
      for (Index k = 0; k < single + (many ? 1 : 0); ++k) {
        std::optional<Lengths> shape;
        select({.op = i, .input = input, .further = k}, any, [&, is_many = k == single](const SizedSource& s) {
          f(s, is_many, shape && *shape != shape_of(s));
          shape = shape_of(s);
          return std::string();
        });
      }
    }
  }

  /// How many values a read has one by one, and then as many as a loop has steps.
  std::pair<Index, std::optional<Length>> values_of(std::uint32_t i, std::uint32_t input) const {
    Length count = of_one_sequence(program_.count(i, input));
    if (count.is_number()) return {count.factor + count.more, std::nullopt};
    const Index before = program_.before_loop({.op = i, .input = input}, any);
    count.more -= before;
    return {before, count};
  }

  static constexpr std::int32_t later = -2;  // any step but the first
  static constexpr ir::PerLoop any{-1, -1, -1};

  /// What a read means at these steps of the loops around it, as C++: f(source), or a choice between such by the steps
  /// of loops. At the first step of a loop something else may stand for it, at its first few steps things may be before
  /// the loop, and at each of a known number of steps something else may be read, as the weights of a layer are.
  template <class F>
  std::string select(const ReadOf& read, const ir::PerLoop& at, const F& f) const {
    const auto loops = around(read.op);
    for (auto l = static_cast<std::uint32_t>(loops.size()); l-- > 0;) {
      if (at[l] != -1 || program_.read(read).start[l] == ir::no_entry) continue;
      ReadOf first = read;
      first.at_first.push_back(l);
      const std::string begins = select(first, with_step(at, l, 0), f);
      return choice(loops, l, 0, begins, select(read, with_step(at, l, later), f));
    }
    const auto rule = program_.rule(read, at);
    std::string out = rule ? f(*rule) : "";
    std::uint32_t l = 0;
    std::int32_t end = rule ? rule->after : 0;
    if (!rule) {
      l = known_loop(read, at);
      end = static_cast<std::int32_t>(program().items[loops[loops.size() - 1 - l]].steps);
    }
    for (std::int32_t t = end; t-- > (at[l] == later ? 1 : 0);) {
      const std::string there = select(read, with_step(at, l, t), f);
      out = out.empty() ? there : choice(loops, l, t, there, out);
    }
    return out;
  }
  /// The same where the steps of loops that are written out are those of now.
  template <class F>
  std::string select_now(ReadOf read, const F& f) const {
    const auto loops = around(read.op);
    ir::PerLoop at = any;
    for (auto l = static_cast<std::uint32_t>(loops.size()); l-- > 0;) {
      const auto now = now_.find(loops[loops.size() - 1 - l]);
      if (now == now_.end()) continue;
      at[l] = now->second;
      if (at[l] == 0 && program_.read(read).start[l] != ir::no_entry) read.at_first.push_back(l);
    }
    return select(read, at, f);
  }
  static ir::PerLoop with_step(ir::PerLoop at, std::uint32_t l, std::int32_t t) {
    at[l] = t;
    return at;
  }
  static std::string choice(const std::vector<std::uint32_t>& loops, std::uint32_t l, std::int32_t t,
                            const std::string& then, const std::string& otherwise) {
    return fmt::format("({} == {} ? {} : {})", variable(loops[loops.size() - 1 - l]), t, then, otherwise);
  }
  /// A loop around a read, of a known number of steps, whose steps are not chosen yet. Throws Error without one.
  std::uint32_t known_loop(const ReadOf& read, const ir::PerLoop& at) const {
    const auto loops = around(read.op);
    for (auto l = static_cast<std::uint32_t>(loops.size()); l-- > 0;)
      if (at[l] < 0 && trips(loops[loops.size() - 1 - l]).is_number()) return l;
    throw Error("export: " + program_.describe(read.op) + " reads values without a rule");
  }

  /// Whether it is a value of the reader's own step.
  bool is_own_step(const SizedSource& s, std::uint32_t reader) const {
    const auto mine = around(reader), theirs = around(s.op);
    for (std::size_t j = 0; j < theirs.size(); ++j) {
      if (j >= mine.size() || mine[j] != theirs[j]) return false;
      const SizedStep& step = s.steps[j];
      for (std::size_t l = 0; l < ir::most_nested; ++l)
        if (step.per[l] != (l == mine.size() - 1 - j ? 1 : 0)) return false;
      if (of_one_sequence(step.first) != Length{}) return false;
    }
    return true;
  }

  void look_at(const SizedSource& s) {
    if (s.op == ir::no_entry) leaves_.insert(s.leaf);
    for (const SizedStep& step : s.steps)
      if (std::all_of(step.per.begin(), step.per.end(), [](std::int32_t p) { return p == 0; }))
        need(of_one_sequence(step.first), 0);
  }
  void write_out(std::uint32_t op) {
    bool any_known = false;
    for (const std::uint32_t l : around(op)) {
      if (!trips(l).is_number()) continue;
      any_known = true;
      written_out_.insert(l);
    }
    if (!any_known) throw Error("export: " + program_.describe(op) + " reads arrays of other shapes at other steps");
  }
  void look_at_reads() {
    for (std::uint32_t i = 0; i < program().ops.size(); ++i)
      each_source(i, [&](const SizedSource& s, bool many, bool other_shape) {
        look_at(s);
        if (other_shape) write_out(i);
        if (s.op != ir::no_entry && (many || !is_own_step(s, i))) kept_[s.op] = true;
      });
    for (std::size_t k = 0; k < program().outputs.size(); ++k) {
      const SizedSource s = program_.output(k);
      look_at(s);
      if (s.op != ir::no_entry) kept_[s.op] = true;
      need_last_steps(s);
    }
  }
  /// What is read after a loop wants the loop to have had that step.
  void need_last_steps(const SizedSource& s) {
    if (s.op == ir::no_entry) return;
    const auto loops = around(s.op);
    for (std::size_t j = 0; j < loops.size(); ++j) {
      const Length step = of_one_sequence(s.steps[j].first);
      if (step.is_number()) need(trips(loops[j]), step.factor + 1);
    }
  }

  std::string room(const std::string& name, std::vector<Length> size) {
    for (const Length& l : size) need(l, 0);
    workspace_.add(size);
    line("Real* const {} = next;", name);
    line("next += {};", product_text(size));
    return name;
  }

  void place_op(std::uint32_t i) {
    std::vector<Length> size = of_one_sequence(program_.shape_of(i));
    const auto loops = around(i);
    for (const std::uint32_t l : loops) need(trips(l), 0);
    if (kept_[i])
      for (const std::uint32_t l : loops) size.push_back(trips(l));
    room(fmt::format("v{}", i), size);
  }

  // ---- Leaves

  void place_leaves() {
    for (const std::int32_t leaf : leaves_) {
      const ir::Node& node = program().leaves[static_cast<std::size_t>(leaf)].node;
      const Lengths shape = of_one_sequence(program_.leaf_shape(leaf));
      places_[leaf] = node.role == Role::input ? place_input(leaf, shape) : place_known(leaf, shape);
    }
  }

  /// x, or a copy of a tensor of the state: that is written at the end.
  std::string place_input(std::int32_t leaf, const Lengths& shape) {
    const ir::Node& node = program().leaves[static_cast<std::size_t>(leaf)].node;
    std::string from = node.leaf == 0 ? "x" : fmt::format("state.s{}", node.leaf - 1);
    if (node.leaf == 0 && is_real(node.dtype)) return from;
    std::string to = room(fmt::format("u{}", leaf), shape);
    copy_numbers(to, from, shape, node.dtype);
    return to;
  }
  /// An index takes the place of a number, which may be wider.
  void copy_numbers(const std::string& to, const std::string& from, const Lengths& shape, DType dtype) {
    const std::string count = product_text(shape);
    if (is_real(dtype))
      return line("std::memcpy({}, {}, static_cast<std::size_t>({}) * sizeof(Real));", to, from, count);
    text_.begin("j", count);
    line("std::memcpy({} + j, {} + j, sizeof(std::int32_t));", to, from);
    text_.end();
  }

  std::string place_known(std::int32_t leaf, const Lengths& shape) {
    const Array value = leaf_value(program_, leaf);
    const std::string what = "export: a constant " + value.shape().str();
    if (!program_.is_same_constant(leaf)) throw Error(what + " has numbers that depend on the length or the batch");
    const Lengths recorded = program_.leaf_shape(leaf);
    if (std::all_of(recorded.begin(), recorded.end(), [](const Length& l) { return l.is_number(); }))
      return place_weight(leaf, value);
    const std::vector<double> numbers = value.to_vector<double>();
    if (!is_real(value.dtype()) ||
        std::any_of(numbers.begin(), numbers.end(), [&](double x) { return x != numbers[0]; }))
      throw Error(what + " has numbers for each sequence or step");
    std::string to = room(fmt::format("u{}", leaf), shape);
    text_.begin("j", product_text(shape));
    line("{}[j] = {};", to, literal(numbers.empty() ? 0 : numbers[0], program().real));
    text_.end();
    return to;
  }

  std::string place_weight(std::int32_t leaf, Array value) {
    const bool parameter = program().leaves[static_cast<std::size_t>(leaf)].node.role == Role::parameter;
    std::string name = parameter ? weight_name(leaf_name(program_, leaf, names_)) : fmt::format("constant{}", leaf);
    while (!weights_.insert(name).second) name += "_";
    const bool rounded = int8_ && is_matrix_of_products(leaf, value);
    const Shape shape = value.shape();
    Array scales = rounded ? round_rows(value, name) : Array();
    if (rounded) out_.weights.push_back({"Real", name + "_scale", shape[0], scales});
    out_.weights.push_back({rounded                  ? "std::int8_t"
                            : is_real(value.dtype()) ? "Real"
                                                     : "std::int32_t",
                            name, std::max<Index>(shape.size(), 1), value});
    if (!rounded && is_real(value.dtype())) return "w." + name;
    std::string to = room(fmt::format("u{}", leaf), {{.factor = shape.size()}});
    if (!rounded) return copy_numbers(to, "w." + name, {{.factor = shape.size()}}, value.dtype()), to;
    text_.begin("i", fmt::format("{}", shape[0]));
    text_.begin("j", fmt::format("{}", shape[1]));
    line("{0}[{1} * i + j] = Real(w.{2}[{1} * i + j]) * w.{2}_scale[i];", to, shape[1], name);
    text_.end(2);
    return to;
  }
  /// Whether all that reads it are products, as what they multiply by, and lookups, as a table.
  bool is_matrix_of_products(std::int32_t leaf, const Array& value) {
    if (value.shape().rank() != 2 || !is_real(value.dtype()) || value.size() == 0) return false;
    bool all = true;
    for (std::uint32_t i = 0; i < program().ops.size(); ++i) {
      const OpInfo& info = *program().ops[i].node.info;
      std::uint32_t number = 0;
      each_source(i, [&](const SizedSource& s, bool, bool) {
        const bool as_matrix = info.product != nullptr ? number == 1 : info.name == "lookup" && number == 0;
        if (s.op == ir::no_entry && s.leaf == leaf && !as_matrix) all = false;
        ++number;
      });
    }
    return all;
  }

  // ---- Items

  void items(std::size_t at, std::size_t end) {
    for (; at < end; ++at) {
      const ir::ProgramItem& item = program().items[at];
      if (item.steps == 0) {
        op(item.op);
      } else if (written_out_.contains(static_cast<std::uint32_t>(at))) {
        for (Index t = 0; t < item.steps; ++t) step(at, t);
      } else {
        text_.begin(variable(at), text_of(trips(at)));
        items(at + 1, at + 1 + item.size);
        text_.end();
      }
      at += item.size;
    }
  }
  /// A step of a loop that is written out.
  void step(std::size_t at, Index t) {
    line("{{");
    ++text_.depth;
    line("[[maybe_unused]] constexpr std::ptrdiff_t {} = {};", variable(at), t);
    now_[static_cast<std::uint32_t>(at)] = static_cast<std::int32_t>(t);
    items(at + 1, at + 1 + program().items[at].size);
    now_.erase(static_cast<std::uint32_t>(at));
    text_.end();
  }
  static std::string variable(std::size_t item) { return fmt::format("t{}", item); }

  void op(std::uint32_t i) {
    const ir::Node& node = program().ops[i].node;
    std::vector<RunInput> in;
    for (std::uint32_t input = 0; input < program_.inputs(i); ++input) inputs(i, input, in);
    if (node.info->same_value) in.erase(in.begin() + 1, in.end());  // what else it reads is for gradients
    const bool reads_many =
        std::any_of(in.begin(), in.end(), [](const RunInput& read) { return read.count != Length{.factor = 1}; });
    const std::string to = address({.op = i, .steps = own_steps(i)}, i), start = start_of(i);
    if (!reads_many) return call(i, std::move(in), to, start);
    line("{{  // {}", node.info->name);
    ++text_.depth;
    for (std::size_t k = 0; k < in.size(); ++k) {
      if (in[k].count != Length{.factor = 1}) continue;
      line("const Real* const a{} = {};", k, in[k].pointer);
      in[k].pointer = fmt::format("a{}", k);
    }
    line("Real* const o = {};", to);
    write_form(i, in, start, text_);
    text_.end();
  }
  void write_form(std::uint32_t i, const std::vector<RunInput>& in, const std::string& start, RunText& text) {
    write_run_op({.text = text,
                  .program = program_,
                  .op = i,
                  .in = in,
                  .shape = of_one_sequence(program_.shape_of(i)),
                  .start = start,
                  .own = own_,
                  .need = [this](const Length& l, Index at_least) { need(l, at_least); }});
  }

  /// Calls a function with the op's form, which ops of the same form share: layers are not written out each.
  void call(std::uint32_t i, std::vector<RunInput> in, const std::string& to, const std::string& start) {
    std::string parameters, arguments;
    for (std::size_t k = 0; k < in.size(); ++k) {
      parameters += fmt::format("const Real* a{}, ", k);
      arguments += in[k].pointer + ", ";
      in[k].pointer = fmt::format("a{}", k);
    }
    if (!start.empty()) {
      parameters += "std::ptrdiff_t start, ";
      arguments += start + ", ";
    }
    RunText form;
    write_form(i, in, start.empty() ? "" : "start", form);
    const std::string text =
        fmt::format("({}[[maybe_unused]] std::ptrdiff_t n, Real* o) {{\n{}}}\n", parameters, form.out);
    const auto [function, is_new] = functions_.try_emplace(text);
    if (is_new) {
      function->second.name = fmt::format("{}_{}", c_name(program().ops[i].node.info->name), functions_.size());
      order_.push_back(function);
    }
    ++function->second.uses;
    line("ops::{}({}n, {});", function->second.name, arguments, to);
  }
  /// Those with several uses stay functions: inlined, they would be as large as all uses together.
  std::string functions() const {
    std::string all;
    for (const auto& f : order_)
      all +=
          fmt::format("\n{}inline void {}{}", f->second.uses > 1 ? "[[gnu::noinline]] " : "", f->second.name, f->first);
    return all.empty() ? "" : "\n// What is computed, by shape.\nnamespace ops {\n" + all + "\n}  // namespace ops\n";
  }

  std::vector<SizedStep> own_steps(std::uint32_t i) const {
    std::vector<SizedStep> out;
    const std::size_t depth = around(i).size();
    for (std::size_t j = 0; j < depth; ++j) {
      SizedStep step;
      step.per[depth - 1 - j] = 1;
      out.push_back(step);
    }
    return out;
  }

  /// Where a slice begins, which may go with the steps of loops. Other attributes must be the same at all steps.
  std::string start_of(std::uint32_t i) {
    const ir::Node& node = program().ops[i].node;
    const bool is_slice = node.info == &op_info<Slice>();
    const auto first = program_.attributes_at(i, {});
    const auto start_at = [&](const std::vector<std::uint64_t>& words) {
      return SizedProgram::Attributes::as<Slice>(words).start;
    };
    std::string out;
    if (is_slice)
      out =
          text_of(of_one_sequence(program_.length_of({start_at(first[0]), start_at(first[1]), start_at(first[2])}, i)));
    const auto loops = around(i);
    for (std::size_t l = 0; l < loops.size(); ++l) {
      ir::PerLoop steps{};
      steps[l] = 1;
      const auto second = program_.attributes_at(i, steps);
      if (second == first) continue;
      if (!is_slice) throw Error("export: " + program_.describe(i) + " depends on the time: each step has another one");
      const Index per = start_at(second[0]) - start_at(first[0]);
      if (start_at(second[1]) - start_at(first[1]) != per)
        throw Error("export: " + program_.describe(i) + " takes parts without a rule");
      out += fmt::format(" + {} * {}", per, variable(loops[loops.size() - 1 - l]));
    }
    return out;
  }

  // ---- Operands

  void inputs(std::uint32_t i, std::uint32_t input, std::vector<RunInput>& in) {
    const auto [single, many] = values_of(i, input);
    for (Index k = 0; k < single; ++k) {
      const ReadOf read{.op = i, .input = input, .further = k};
      const SizedSource s = any_source(read);
      in.push_back({.pointer = pointer(read), .shape = shape_of(s), .dtype = program_.dtype_of(s)});
    }
    if (!many) return;
    const ReadOf read{.op = i, .input = input, .further = single};
    const SizedSource s = any_source(read);
    in.push_back(
        {.pointer = pointer_to_many(read), .shape = shape_of(s), .dtype = program_.dtype_of(s), .count = *many});
  }

  /// One of those that a read means, of the shape of all of them.
  SizedSource any_source(const ReadOf& read) const {
    std::optional<SizedSource> found;
    select_now(read, [&](const SizedSource& s) {
      found = s;
      return std::string();
    });
    return *found;
  }
  std::string pointer(const ReadOf& read) const {
    return select_now(read, [&](const SizedSource& s) { return address(s, read.op); });
  }

  /// Of the value k behind this one.
  std::string pointer_to_many(ReadOf read) const {
    for (const std::uint32_t start : program_.read(read).start)
      if (start != ir::no_entry) throw_order(read.op);
    const SizedSource first = program_.source(read, any);
    ++read.further;
    const SizedSource second = program_.source(read, any);
    ++read.further;
    const SizedSource third = program_.source(read, any);
    if (first.op == ir::no_entry || second.op != first.op || third.op != first.op) throw_order(read.op);
    std::vector<Index> per(first.steps.size());
    for (std::size_t j = 0; j < per.size(); ++j) {
      const auto more = [&](const SizedSource& a, const SizedSource& b) {
        const Length from = of_one_sequence(a.steps[j].first), to = of_one_sequence(b.steps[j].first);
        if (from.steps != to.steps || a.steps[j].per != b.steps[j].per) throw_order(read.op);
        return from.steps ? to.more - from.more : to.factor - from.factor;
      };
      per[j] = more(first, second);
      if (more(second, third) != per[j]) throw_order(read.op);
    }
    return address(first, read.op, per);
  }
  [[noreturn]] void throw_order(std::uint32_t op) const {
    throw Error("export: " + program_.describe(op) + " reads many values in an order without a rule");
  }

  /// `further[j]` steps of loop j later with each k.
  std::string address(const SizedSource& s, std::uint32_t reader, const std::vector<Index>& further = {}) const {
    if (s.op == ir::no_entry) return places_.at(s.leaf);
    std::string base = fmt::format("v{}", s.op);
    const auto loops = around(s.op), mine = around(reader);
    if (!kept_[s.op] || loops.empty()) return base;
    std::vector<std::string> along;
    Lengths lengths;
    for (std::size_t j = 0; j < loops.size(); ++j) {
      const SizedStep& step = s.steps[j];
      std::string at;
      const auto add = [&](const std::string& term) { at += (at.empty() ? "" : " + ") + term; };
      if (of_one_sequence(step.first) != Length{}) add(text_of(of_one_sequence(step.first)));
      for (std::size_t l = 0; l < mine.size(); ++l)
        if (step.per[l] == 1)
          add(variable(mine[mine.size() - 1 - l]));
        else if (step.per[l] != 0)
          add(fmt::format("{} * {}", step.per[l], variable(mine[mine.size() - 1 - l])));
      if (!further.empty() && further[j] != 0) add(fmt::format("{} * k", further[j]));
      along.push_back(at);
      lengths.push_back(trips(loops[j]));
    }
    const std::string position = position_text(along, lengths);
    if (position == "0") return base;
    return fmt::format("{} + ({}) * {}", base, position, text_of_size(shape_of(s)));
  }
  static std::string text_of_size(const Lengths& shape) { return "(" + product_text(shape) + ")"; }

  // ---- What leaves

  /// y, and the state after the last step.
  void results() {
    line("// Results.");
    for (std::size_t k = 0; k < program().outputs.size(); ++k) {
      const SizedSource s = program_.output(k);
      const Lengths shape = shape_of(s);
      if (k == 0) out_.outputs = product_text(shape);
      const std::string to = k == 0 ? "y" : fmt::format("state.s{}", k - 1);
      if (k > 0 && product_text(shape) != fmt::format("{}", start_[k - 1].size()))
        throw Error(
            fmt::format("export: tensor {} of the state has {} numbers before the first step and {} after the last",
                        k - 1, start_[k - 1].size(), product_text(shape)));
      copy_numbers(to, address(s, s.op == ir::no_entry ? 0 : s.op), shape, program_.dtype_of(s));
    }
  }

  const SizedProgram& program_;
  const std::vector<NamedParameter>& names_;
  const std::vector<Array>& start_;
  const std::map<std::string, std::string>& own_;
  bool int8_;
  std::vector<bool> kept_;                     // by op: all steps
  std::set<std::uint32_t> written_out_;        // loops, as items
  std::map<std::uint32_t, std::int32_t> now_;  // the steps of those around what is being written
  std::set<std::int32_t> leaves_;
  std::map<std::int32_t, std::string> places_;
  std::set<std::string> weights_;
  SizeSum workspace_;
  struct Function {
    std::string name = {};
    int uses = 0;
  };
  std::map<std::string, Function> functions_;  // by what stands behind the name
  std::vector<std::map<std::string, Function>::const_iterator> order_;
  RunText text_;
  RunBody out_;
};

}  // namespace

RunBody run_body(const SizedProgram& program, const RecordedSequence& sequence,
                 const std::map<std::string, std::string>& own, bool int8) {
  return RunWriter(program, sequence, own, int8).run();
}

}  // namespace rw::detail
