#include "program.h"

#include <algorithm>
#include <cctype>
#include <map>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "../hand_lstm.h"

namespace rw::fuzz {

Program at_length(const Program& p, Index steps) {
  Program out = p;
  if (p.steps > 0) out.steps = steps;
  for (const int leaf : p.sequences) {
    Shape& shape = out.leaves[static_cast<std::size_t>(leaf)].shape;
    shape = shape.with(0, steps);
  }
  return out;
}

Array random_leaf(const Leaf& leaf, std::size_t number, DType dtype) {
  return test::random_array(leaf.shape, number + 1, leaf.scale, dtype);
}

// ---- Running it ----

Tensor Run::step(const Step& s, Index t) {
  const auto input = [&](int i) { return i < 0 ? Tensor() : value(i); };
  const Arguments arguments{tape_,    input(s.a), input(s.b), s.axis, s.start, s.other,
                            s.length, s.shape,    s.flag,     s.seed, t};
  return value(s.out) = ops()[s.op].run(arguments);
}

void Run::run_loop() {
  for (const Carried& c : p_.carried) value(c.value) = value(c.first);
  std::vector<std::vector<Tensor>> all(p_.kept.size());
  for (Index t = 0; t < p_.steps; ++t) {
    for (const Step& s : p_.body) step(s, t);
    for (std::size_t k = 0; k < all.size(); ++k) all[k].push_back(value(p_.kept[k].each));
    std::vector<Tensor> next;
    for (const Carried& c : p_.carried) next.push_back(value(c.next));
    for (std::size_t k = 0; k < next.size(); ++k) value(p_.carried[k].value) = next[k];
  }
  for (std::size_t k = 0; k < all.size(); ++k) value(p_.kept[k].all) = stack(all[k]);
}

// What breaks symmetry, or, in every third place, a plain sum.
Tensor Run::projected(Tensor x, std::size_t k) {
  if (k % 3 == 2) return sum(x) * (1.0 / static_cast<double>(std::max<Index>(x.size(), 1)));
  return sum(x * tape_.constant(test::random_array(x.shape(), 90 + k))) *
         (1.0 / static_cast<double>(std::max<Index>(x.size(), 1)));
}

std::vector<Tensor> Run::operator()(std::span<const Tensor> leaves) {
  for (std::size_t i = 0; i < leaves.size(); ++i) value(static_cast<int>(i)) = leaves[i];
  for (const Step& s : p_.before) step(s, 0);
  if (p_.steps > 0) run_loop();
  for (const Step& s : p_.after) step(s, 0);
  std::vector<Tensor> out;
  for (int o : p_.outputs) out.push_back(value(o));
  if (p_.gradient == Gradient::none) return out;
  Tensor loss = tape_.constant(0.0);
  for (std::size_t k = 0; k < p_.outputs.size(); ++k) loss = loss + projected(out[k], k);
  out.push_back(loss);
  if (p_.gradient == Gradient::plain) {
    if (loss.needs_grad()) backward(loss);
    return out;
  }
  const std::vector<Operand> x(leaves.begin(), leaves.end());
  std::vector<Tensor> g = grad(loss, x);
  if (p_.gradient == Gradient::second) {
    Tensor again = tape_.constant(0.0);
    for (std::size_t k = 0; k < g.size(); ++k) again = again + projected(tanh(g[k]), k + 1);
    g = grad(again, x);
  }
  out.insert(out.end(), g.begin(), g.end());
  return out;
}

// ---- Printing it ----

namespace {

std::string shape_text(const Shape& shape, std::string first = "") {
  std::string text;
  for (Index d : shape) {
    text += (text.empty() ? "" : ", ") + (first.empty() ? std::to_string(d) : first);
    first.clear();
  }
  return "Shape{" + text + "}";
}

// The expression with its arguments' names replaced: whole words only, and no members.
std::string expression(const Step& s) {
  const std::map<std::string, std::string> names{
      {"a", fmt::format("v{}", s.a)},     {"b", fmt::format("v{}", s.b)},      {"axis", std::to_string(s.axis)},
      {"start", std::to_string(s.start)}, {"other", std::to_string(s.other)},  {"length", std::to_string(s.length)},
      {"shape", shape_text(s.shape)},     {"flag", s.flag ? "true" : "false"}, {"seed", std::to_string(s.seed) + "u"}};
  const std::string& text = ops()[s.op].text;
  const auto part_of_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && part_of_word(text[end])) ++end;
    if (end == i) {
      out += text[i++];
      continue;
    }
    const std::string word = text.substr(i, end - i);
    const auto name = names.find(word);
    out += name == names.end() || (i > 0 && text[i - 1] == '.') ? word : name->second;
    i = end;
  }
  return out;
}

class Printer {
 public:
  Printer(const Program& p, DType dtype, const std::vector<Index>& lengths) : p_(p), dtype_(dtype), lengths_(lengths) {}

  std::string run(const std::string& name, const std::string& options) {
    text_ =
        "#include <algorithm>\n\n#include <doctest/doctest.h>\n\n#include <rewind/ops/ops.h>\n\n"
        "#include \"at_lengths.h\"\n#include \"fuzz/ops.h\"\n#include \"hand_lstm.h\"\n\nusing namespace rw;\n"
        "using namespace rw::test;\nusing namespace rw::fuzz;\n\n";
    text_ += "TEST_CASE(\"" + name + "\") {\n";
    leaves();
    line("  const auto f = [&]([[maybe_unused]] Tape& tape, const std::vector<Tensor>& in) {");
    if (!lengths_.empty() && p_.steps > 0)
      line(fmt::format("    const Index T = in[{}].size(0);", input_of(p_.sequences[0])));
    name_leaves();
    for (const Step& s : p_.before) step(s, "    ", "0");
    if (p_.steps > 0) loop();
    for (const Step& s : p_.after) step(s, "    ", "0");
    results();
    line("  };");
    std::string at;
    for (const Index T : lengths_) at += fmt::format("{}{}", at.empty() ? "" : ", ", T);
    line(fmt::format("  CHECK({}f, inputs, parameters, {}) < {});",
                     lengths_.empty() ? "disagreement(" : "disagreement_at({" + at + "}, ", options,
                     dtype_ == DType::f32 ? "1e-4" : "1e-12"));
    line("}");
    return text_;
  }

 private:
  void line(const std::string& text) { text_ += text + "\n"; }
  std::string dtype() const { return dtype_ == DType::f32 ? "DType::f32" : "DType::f64"; }
  bool is_parameter(std::size_t i) const { return p_.leaves[i].is_parameter && p_.gradient == Gradient::plain; }
  std::string array(std::size_t i) const {
    const Leaf& leaf = p_.leaves[i];
    std::string shape = shape_text(leaf.shape);
    if (!lengths_.empty() && std::ranges::count(p_.sequences, static_cast<int>(i)) > 0)
      shape = shape_text(leaf.shape, "T");
    return fmt::format("random_array({}, {}, {}, {})", shape, i + 1, leaf.scale, dtype());
  }
  // Which of the arguments a leaf is.
  int input_of(int leaf) const {
    int out = 0;
    for (int i = 0; i < leaf; ++i) out += is_parameter(static_cast<std::size_t>(i)) ? 0 : 1;
    return out;
  }

  void leaves() {
    std::string arrays, parameters;
    for (std::size_t i = 0; i < p_.leaves.size(); ++i) {
      if (is_parameter(i)) {
        line(fmt::format("  Parameter p{}(\"p{}\", {});", i, i, array(i)));
        parameters += fmt::format("{}&p{}", parameters.empty() ? "" : ", ", i);
      } else {
        arrays += (arrays.empty() ? "" : ", ") + array(i);
      }
    }
    if (lengths_.empty())
      line("  const std::vector<Array> inputs{" + arrays + "};");
    else
      line("  const auto inputs = [](Index T) { return std::vector<Array>{" + arrays + "}; };");
    line("  const std::vector<Parameter*> parameters{" + parameters + "};");
  }
  void name_leaves() {
    int next = 0;
    for (std::size_t i = 0; i < p_.leaves.size(); ++i)
      line(is_parameter(i) ? fmt::format("    const Tensor v{} = tape.leaf(p{});", i, i)
                           : fmt::format("    const Tensor v{} = in[{}];", i, next++));
  }
  void step(const Step& s, const std::string& indent, const std::string& t) {
    std::string text = expression(s);
    if (t == "0") {  // outside of a loop
      std::string fixed;
      for (std::size_t i = 0; i < text.size(); ++i) {
        const bool word = text[i] == 't' && (i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0) &&
                          (i + 1 == text.size() || std::isalnum(static_cast<unsigned char>(text[i + 1])) == 0) &&
                          (i == 0 || (text[i - 1] != '_' && text[i - 1] != '.'));
        fixed += word ? std::string("Index{0}") : std::string(1, text[i]);
      }
      text = fixed;
    }
    line(fmt::format("{}const Tensor v{} = {};", indent, s.out, text));
  }
  void loop() {
    for (const Carried& c : p_.carried) line(fmt::format("    Tensor v{} = v{};", c.value, c.first));
    for (const Kept& k : p_.kept) line(fmt::format("    std::vector<Tensor> all{};", k.each));
    line(fmt::format("    for (Index t = 0; t < {}; ++t) {{", lengths_.empty() ? std::to_string(p_.steps) : "T"));
    for (const Step& s : p_.body) step(s, "      ", "t");
    for (const Kept& k : p_.kept) line(fmt::format("      all{}.push_back(v{});", k.each, k.each));
    for (const Carried& c : p_.carried) line(fmt::format("      const Tensor next{} = v{};", c.value, c.next));
    for (const Carried& c : p_.carried) line(fmt::format("      v{} = next{};", c.value, c.value));
    line("    }");
    for (const Kept& k : p_.kept) line(fmt::format("    const Tensor v{} = stack(all{});", k.all, k.each));
  }
  std::string projected(const std::string& x, std::size_t k) const {
    const std::string factor = fmt::format("(1.0 / static_cast<double>(std::max<Index>({}.size(), 1)))", x);
    if (k % 3 == 2) return fmt::format("sum({}) * {}", x, factor);
    return fmt::format("sum({} * tape.constant(random_array({}.shape(), {}))) * {}", x, x, 90 + k, factor);
  }
  void results() {
    std::string out;
    for (int o : p_.outputs) out += fmt::format("{}v{}", out.empty() ? "" : ", ", o);
    line("    std::vector<Tensor> out{" + out + "};");
    if (p_.gradient == Gradient::none) return line("    return out;");
    line("    Tensor loss = tape.constant(0.0);");
    for (std::size_t k = 0; k < p_.outputs.size(); ++k)
      line(fmt::format("    loss = loss + {};", projected(fmt::format("v{}", p_.outputs[k]), k)));
    line("    out.push_back(loss);");
    if (p_.gradient == Gradient::plain) {
      line("    if (loss.needs_grad()) backward(loss);");
      return line("    return out;");
    }
    line("    const std::vector<Operand> x(in.begin(), in.end());");
    line("    std::vector<Tensor> g = grad(loss, x);");
    if (p_.gradient == Gradient::second) {
      line("    Tensor again = tape.constant(0.0);");
      for (std::size_t k = 0; k < p_.leaves.size(); ++k) {
        line(fmt::format("    const Tensor g{} = tanh(g[{}]);", k, k));
        line(fmt::format("    again = again + {};", projected(fmt::format("g{}", k), k + 1)));
      }
      line("    g = grad(again, x);");
    }
    line("    out.insert(out.end(), g.begin(), g.end());");
    line("    return out;");
  }

  const Program& p_;
  DType dtype_;
  const std::vector<Index>& lengths_;
  std::string text_;
};

}  // namespace

std::string to_cpp(const Program& p, DType dtype, const std::string& name, const std::string& options,
                   const std::vector<Index>& lengths) {
  return Printer(p, dtype, lengths).run(name, options);
}

// ---- Its tests ----

namespace {

TEST_CASE("a program prints itself") {
  Program p;
  p.leaves = {{Shape{2, 3}, 1, false}, {Shape{3}, 0.5, true}};
  const auto op = [](const std::string& text) {
    std::size_t i = 0;
    while (ops()[i].text != text) ++i;
    return i;
  };
  Step add, pick;
  add.op = op("a + b"), add.a = 3, add.b = 1, add.out = 4;
  pick.op = op("select(a, 0, t % a.size(0))"), pick.a = 0, pick.out = 2;
  p.before = {pick};
  p.body = {add};
  p.steps = 2;
  p.carried = {{3, 2, 4}};
  p.kept = {{4, 5}};
  p.outputs = {5, 3};
  p.gradient = Gradient::plain;
  p.values = 6;
  const std::string text = to_cpp(p, DType::f32, "name", "{}");
  for (const char* line :
       {"  Parameter p1(\"p1\", random_array(Shape{3}, 2, 0.5, DType::f32));", "    const Tensor v0 = in[0];",
        "    const Tensor v1 = tape.leaf(p1);", "    const Tensor v2 = select(v0, 0, Index{0} % v0.size(0));",
        "    Tensor v3 = v2;", "    for (Index t = 0; t < 2; ++t) {", "      const Tensor v4 = v3 + v1;",
        "      all4.push_back(v4);", "    const Tensor v5 = stack(all4);", "    std::vector<Tensor> out{v5, v3};"}) {
    CAPTURE(line);
    CHECK(text.find(std::string(line) + "\n") != std::string::npos);
  }
  p.sequences = {0};
  const std::string at = to_cpp(p, DType::f32, "name", "{}", {5, 9});
  for (const char* line : {"  const auto inputs = [](Index T) { return std::vector<Array>{random_array(Shape{T, 3}, 1, "
                           "1, DType::f32)}; };",
                           "    const Index T = in[0].size(0);", "    for (Index t = 0; t < T; ++t) {",
                           "  CHECK(disagreement_at({5, 9}, f, inputs, parameters, {}) < 1e-4);"}) {
    CAPTURE(line);
    CHECK(at.find(std::string(line) + "\n") != std::string::npos);
  }
  CHECK(at_length(p, 7).steps == 7);
  CHECK(at_length(p, 7).leaves[0].shape == Shape{7, 3});
}

}  // namespace

}  // namespace rw::fuzz
