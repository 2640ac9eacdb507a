#include <cctype>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/text_reader.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/expressions.h>
#include <rewind/tools/export/plan.h>

namespace rw::detail {
namespace {

using Table = std::map<std::string_view, std::string_view>;

const Table& library_expressions() {
  static const Table table{
      {"add", "a + b"},
      {"sub", "a - b"},
      {"mul", "a * b"},
      {"div", "a / b"},
      {"times0", "math::times0(a, b)"},
      {"neg", "-a"},
      {"square", "a * a"},
      {"abs", "std::fabs(a)"},
      {"maximum", "math::maximum(a, b)"},
      {"minimum", "math::minimum(a, b)"},
      {"clamp", "math::minimum(math::maximum(a, p0), p1)"},
      {"tanh", "math::tanh(a)"},
      {"sigmoid", "math::sigmoid(a)"},
      {"log_sigmoid", "-math::softplus(-a)"},
      {"relu", "(a <= 0 ? Real(0) : a)"},
      {"leaky_relu", "(a > 0 ? a : p0 * a)"},
      {"softplus", "math::softplus(a)"},
      {"erf", "std::erf(a)"},
      {"normal_pdf", "math::normal_pdf(a)"},
      {"normal_cdf", "math::normal_cdf(a)"},
      {"gelu", "math::times0(a, math::normal_cdf(a))"},
      {"sqrt", "std::sqrt(a)"},
      {"exp", "math::exp(a)"},
      {"expm1", "math::expm1(a)"},
      {"log", "math::log(a)"},
      {"log1p", "math::log1p(a)"},
      {"floor", "std::floor(a)"},
      {"sign", "(a > 0 ? Real(1) : (a < 0 ? Real(-1) : a))"},
      {"mod", "math::mod(a, b)"},
      {"power_of_two", "math::power_of_two(a)"},
      {"pow_constant", "std::pow(a, p0)"},
      {"pow", "std::pow(a, b)"},
      {"sin", "std::sin(a)"},
      {"cos", "std::cos(a)"},
      {"equal", "(a == b ? Real(1) : Real(0))"},
      {"not_equal", "(a != b ? Real(1) : Real(0))"},
      {"less", "(a < b ? Real(1) : Real(0))"},
      {"less_equal", "(a <= b ? Real(1) : Real(0))"},
      {"greater", "(a > b ? Real(1) : Real(0))"},
      {"greater_equal", "(a >= b ? Real(1) : Real(0))"},
      {"logical_and", "(a != 0 && b != 0 ? Real(1) : Real(0))"},
      {"logical_or", "(a != 0 || b != 0 ? Real(1) : Real(0))"},
      {"logical_xor", "((a != 0 ? 1 : 0) + (b != 0 ? 1 : 0) == 1 ? Real(1) : Real(0))"},
      {"logical_not", "(a == 0 ? Real(1) : Real(0))"},
      {"where", "(a != 0 ? b : c)"},
      {"huber", "math::huber(a, p0)"},
      {"binary_cross_entropy_with_logits",
       "math::times0(b, math::softplus(-a)) + math::times0(1 - b, math::softplus(a))"},
      {"clip_gradient", "a"},
      {"broadcast_to", "a"},
  };
  return table;
}

/// Puts words in the place of a, b, c and p0, p1, ...; `text` has other names, too.
template <class Word>
std::string replaced(std::string_view text, Word&& word) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    while (end < text.size() && is_name_character(text[end])) ++end;
    if (end == begin) {
      out += text[begin++];
      continue;
    }
    const std::string_view name = text.substr(begin, end - begin);
    const bool qualified = begin >= 2 && text.substr(begin - 2, 2) == "::";
    out += qualified ? std::string(name) : word(name);
    begin = end;
  }
  return out;
}

/// Those of one attribute, which may be a struct or an array of some.
void read_numbers(TextReader& in, std::vector<double>& out) {
  for (const auto& [open, close] : {std::pair{"{", "}"}, {"[", "]"}}) {
    if (!in.take(open)) continue;
    while (!in.take(close))
      if (!in.take(",")) read_numbers(in, out);
    return;
  }
  if (in.take("true"))
    out.push_back(1);
  else if (in.take("false"))
    out.push_back(0);
  else if (in.sees("("))
    static_cast<void>(in.shape());
  else
    out.push_back(in.number64());
}

}  // namespace

std::vector<AttributeNumbers> attributes(const ir::Graph& g, NodeId i) {
  const ir::Node& n = g.nodes[i];
  if (n.info->attribute_size == 0) return {};
  if (n.info->write == nullptr) throw_no_form(g, i);
  std::string text;
  n.info->write(n.op, text);
  std::vector<AttributeNumbers> all;
  TextReader in(text);
  while (!in.done()) {
    AttributeNumbers a{.name = fmt::format("{}", all.size()), .numbers = {}};
    TextReader ahead = in;
    if (const std::string_view name = ahead.take_name(); !name.empty() && ahead.take("=")) {
      a.name = name;
      in = ahead;
    }
    read_numbers(in, a.numbers);
    all.push_back(std::move(a));
    if (!in.done()) in.expect(",");
  }
  return all;
}

double number_of(const std::vector<AttributeNumbers>& all, std::string_view name, std::size_t k, double usual) {
  for (const AttributeNumbers& a : all)
    if (a.name == name) return a.numbers.at(k);
  return usual;
}

std::vector<double> numbers_of(const ir::Graph& g, NodeId i) {
  std::vector<double> all;
  for (const AttributeNumbers& a : attributes(g, i)) all.insert(all.end(), a.numbers.begin(), a.numbers.end());
  return all;
}

void throw_no_form(const ir::Graph& g, NodeId i) {
  throw Error(
      fmt::format("{} has no form in plain C++; an elementwise op can be given one, "
                  "HeaderOptions::expressions[\"{}\"] = \"...\"",
                  g.describe(i), g.nodes[i].info->name));
}

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool takes_a_function(const ir::Graph& g, NodeId i) {
  static const std::set<std::string_view> names{
      "tanh",       "sigmoid",      "log_sigmoid", "softplus", "erf", "normal_pdf",
      "normal_cdf", "gelu",         "exp",         "expm1",    "log", "log1p",
      "mod",        "pow_constant", "pow",         "sin",      "cos", "binary_cross_entropy_with_logits"};
  return names.contains(g.nodes[i].info->name);
}

std::string expression(const ir::Graph& g, NodeId i, std::span<const std::string> inputs,
                       const std::map<std::string, std::string>& own) {
  if (g.is<AddN>(i)) {
    std::string sum;
    for (const std::string& x : inputs) sum += (sum.empty() ? "" : " + ") + x;
    return sum;
  }
  const std::string_view name = g.nodes[i].info->name;
  std::string_view text;
  if (const auto found = own.find(std::string(name)); found != own.end())
    text = found->second;
  else if (const auto known = library_expressions().find(name); known != library_expressions().end())
    text = known->second;
  else
    throw_no_form(g, i);
  const std::vector<double> numbers = g.is<BroadcastTo>(i) ? std::vector<double>() : numbers_of(g, i);
  return replaced(text, [&](std::string_view word) {
    if (word.size() == 1 && word[0] >= 'a' && word[0] <= 'c' && word[0] - 'a' < static_cast<int>(inputs.size()))
      return inputs[static_cast<std::size_t>(word[0] - 'a')];
    if (word.size() == 2 && word[0] == 'p' && std::isdigit(static_cast<unsigned char>(word[1])) != 0 &&
        static_cast<std::size_t>(word[1] - '0') < numbers.size())
      return literal(numbers[static_cast<std::size_t>(word[1] - '0')], g.real);
    return std::string(word);
  });
}

}  // namespace rw::detail
