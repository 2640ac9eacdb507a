// Passes, tested by text: the examples of docs/compiler.md, and those of the folder texts/, one file a pass.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <rewind/ops/ops.h>

#include "../../../paths.h"
#include "pass_text.h"

namespace rw {
namespace {

using namespace rw::test;

/// The programs of each section, in order: ```program blocks under a heading that is a pass's name.
std::map<std::string, std::vector<std::string>> programs_of(std::istream& page) {
  std::map<std::string, std::vector<std::string>> all;
  std::string section, line;
  bool inside = false;
  while (std::getline(page, line)) {
    if (line.starts_with("### ")) section = line.substr(4);
    if (line == "```program") {
      inside = true;
      all[section].emplace_back();
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      all[section].back() += line + "\n";
    }
  }
  return all;
}

TEST_CASE("the examples of docs/compiler.md are what the passes do, and each pass has one") {
  std::ifstream page(source_dir() + "/docs/compiler.md");
  REQUIRE(page.good());
  const auto programs = programs_of(page);
  for (const ir::GraphPass& pass : ir::graph_passes()) {
    const auto at = programs.find(std::string(pass.name));
    REQUIRE_MESSAGE(at != programs.end(), pass.name);
    CHECK_MESSAGE(at->second.size() % 2 == 0, pass.name);
  }
  for (const auto& [name, texts] : programs)
    for (std::size_t i = 0; i + 1 < texts.size(); i += 2) check_pass(name, texts[i], texts[i + 1]);
}

/// Cases of a file: "== what it shows", a program, "--", and the program after the pass.
struct Case {
  std::string title, before, after;
};
std::vector<Case> cases_of(std::istream& file) {
  std::vector<Case> all;
  std::string* to = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("== ")) {
      all.push_back({line.substr(3), "", ""});
      to = &all.back().before;
    } else if (line == "--" && !all.empty()) {
      to = &all.back().after;
    } else if (to != nullptr) {
      *to += line + "\n";
    }
  }
  return all;
}

TEST_CASE("each pass does what its programs say, where it is easily got wrong") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() + "/tests/autograd/compile/passes/texts")) {
    std::ifstream file(entry.path());
    const std::vector<Case> cases = cases_of(file);
    CHECK_MESSAGE(!cases.empty(), entry.path().string());
    for (const Case& c : cases) {
      CAPTURE(c.title);
      check_pass(entry.path().stem().string(), c.before, c.after);
    }
    ++files;
  }
  CHECK(files >= 13);
}

TEST_CASE("passes stand after those that they need, and the switches say which keep bits") {
  std::vector<const ir::GraphPass*> before;
  for (const ir::GraphPass& pass : ir::graph_passes()) {
    CAPTURE(pass.name);
    bool there = pass.after.empty();
    for (const ir::GraphPass* earlier : before)
      there = there || (earlier->name == pass.after && pass.switches.has(earlier->switches));
    CHECK(there);
    CHECK(Passes::all().has(pass.switches));
    if (pass.when == nullptr && Passes::exact().has(pass.switches)) CHECK(pass.keeps_bits);
    before.push_back(&pass);
  }
  for (const PassSwitch& s : pass_switches) CHECK(Passes::exact().has(s.pass) == s.keeps_bits);
}

}  // namespace
}  // namespace rw
