// Every op that a header of ops/ declares has its line of check_op in tests/ops. Both are read as text.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "../paths.h"

namespace {

namespace fs = std::filesystem;

// Functions that return tensors, declared at the beginning of a line.
std::set<std::string> declared_ops(const std::string& header) {
  static const std::regex declaration(
      R"(^(?:inline )?(?:Tensor|std::vector<Tensor>|std::array<Tensor, \w+>) (\w+)\(.*)");
  std::set<std::string> names;
  std::istringstream lines(header);
  std::smatch match;
  for (std::string line; std::getline(lines, line);)
    if (std::regex_match(line, match, declaration)) names.insert(match[1]);
  return names;
}

// The names that check_op (or a test's helper around it) is called with, if the op of that name is called right there.
std::set<std::string> checked_ops(const std::string& test) {
  static const std::regex call(R"re(check_\w+\(\s*"(\w+)[^"]*",)re");
  std::set<std::string> names;
  for (std::sregex_iterator i(test.begin(), test.end(), call), end; i != end; ++i) {
    const std::string name = (*i)[1], after = i->suffix().str().substr(0, 200);
    if (std::regex_search(after, std::regex("\\b" + name + "[<(]"))) names.insert(name);
  }
  return names;
}

// The ops that a file of cases names, as a case or within one.
std::set<std::string> ops_in_cases(const std::set<std::string>& ops, const std::string& cases) {
  std::set<std::string> named;
  for (const std::string& name : ops)
    if (std::regex_search(cases, std::regex("\\b" + name + "[<(\"]"))) named.insert(name);
  return named;
}

std::set<std::string> without(const std::set<std::string>& all, const std::set<std::string>& some) {
  std::set<std::string> rest;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::inserter(rest, rest.end()));
  return rest;
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// `names` of every file of one folder.
template <class Names>
std::set<std::string> in_folder(const fs::path& folder, const std::string& extension, Names names) {
  std::set<std::string> all;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == extension) all.merge(names(text_of(entry.path())));
  return all;
}

}  // namespace

TEST_CASE("every op has its check_op line") {
  const fs::path root = source_dir();
  const std::set<std::string> declared = in_folder(root / "ops", ".h", declared_ops);
  const std::set<std::string> checked = in_folder(root / "tests" / "ops", ".cpp", checked_ops);
  CHECK(declared.size() >= 50);
  CHECK(declared.count("matmul") == 1);
  for (const std::string& name : without(declared, checked)) FAIL_CHECK("no check_op line for ", name);
}

TEST_CASE("every op has a case for random graphs, mutants and transforms, or is part of others'") {
  const fs::path root = source_dir();
  const std::set<std::string> declared = in_folder(root / "ops", ".h", declared_ops);
  const std::string cases = text_of(root / "tests" / "tools" / "gradcheck" / "op_cases.h");
  // Used by rules and by other ops; made of ops that have a case; the same op as another function's; no gradient.
  std::set<std::string> part_of_others = {"neg", "times0", "normal_cdf", "normal_pdf"};
  part_of_others.merge(std::set<std::string>{"norm", "outer", "einsum", "swap_axes"});
  part_of_others.merge(std::set<std::string>{"linear_recurrence_from", "dropout_mask"});
  for (const std::string& name : without(without(declared, ops_in_cases(declared, cases)), part_of_others))
    FAIL_CHECK("no case in op_cases.h for ", name);
  CHECK(ops_in_cases({"twice", "half", "wi"}, "unary(\"twice\", twice); f(half<2>(x))") ==
        std::set<std::string>{"twice", "half"});
}

TEST_CASE("an op without a line is found") {
  const std::string header =
      "/// Doubles x.\nTensor twice(Operand x);\nTensor half(Operand x);\nstd::vector<Tensor> cut(Tensor x);\n"
      "inline Tensor third(Operand x) { return x / 3; }\ninline Tensor operator!(Operand x);\nclass Tensor;\n";
  CHECK(declared_ops(header) == std::set<std::string>{"twice", "half", "third", "cut"});
  const std::string test =
      "CHECK(check_op(\"twice\", [](Tensor x) { return twice(x); }, f));\n"
      "CHECK(check_op(\"half\", [](Tensor x) { return twice(x); }, f));\n"
      "CHECK(check_op(\n    \"cut in two\", [](Tensor x) { return cut<2>(x)[0]; }, f));\n";
  CHECK(checked_ops(test) == std::set<std::string>{"twice", "cut"});
  CHECK(without(declared_ops(header), checked_ops(test)) == std::set<std::string>{"half", "third"});
}
