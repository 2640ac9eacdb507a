#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/choices/costs.h>
#include <rewind/core/error.h>
#include <rewind/core/version.h>

namespace rw::ir {
namespace {

const Processor mine{.name = "Abacus 5 (1), avx2, 2 cores"};

/// A file of its own, removed at the end.
struct File {
  std::string path;
  explicit File(const std::string& text) {
    char pattern[] = "/tmp/rewind_costs_XXXXXX";
    const int fd = mkstemp(pattern);
    REQUIRE(fd >= 0);
    close(fd);
    path = pattern;
    std::ofstream(path, std::ios::binary) << text;
  }
  ~File() { std::filesystem::remove(path); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

Costs measured() {
  Costs c;
  double number = 0.011;
  for (const NumberField<Costs>& f : cost_fields()) c.*f.number = number += 1.0 / 1024 / 3;
  return c;
}

bool same(const Costs& a, const Costs& b) {
  for (const NumberField<Costs>& f : cost_fields())
    if (a.*f.number != b.*f.number) return false;
  return true;
}

TEST_CASE("what was measured is read again, to the last bit") {
  const File file(costs_text(measured(), mine));
  const MachineCosts read = read_costs(file.path, mine);
  CHECK(read.measured);
  CHECK(same(read.costs, measured()));
  CHECK(read.from == "measured by rewind tune, from " + file.path);
}

TEST_CASE("files that are not of this processor and version, or broken, are ignored with a line") {
  const std::string good = costs_text(measured(), mine);
  const auto ignored = [&](const std::string& text, const std::string& why) {
    const File file(text);
    CAPTURE(text);
    const MachineCosts read = read_costs(file.path, mine);
    CHECK_FALSE(read.measured);
    CHECK(same(read.costs, Costs{}));
    CHECK(read.from ==
          "built in, with this processor's caches of 48 and 2048 KB: " + file.path + " is ignored: " + why);
  };
  ignored(replaced(good, "Abacus 5", "Abacus 6"), "it was measured on another processor");
  ignored(replaced(good, "version " + std::string(version()), "version 0.1"), "another version of Rewind wrote it");
  ignored(replaced(good, "costs 1", "costs 2"), "it is not what this version of rewind tune writes");
  ignored("", "it is not what this version of rewind tune writes");
  ignored(std::string(3000, '\0'), "it is not what this version of rewind tune writes");
  ignored(good + std::string(5000, 'x'), "it is too long to be what rewind tune writes");
  const std::string not_whole = "it was changed, or is not whole";
  ignored(good + "x", not_whole);
  ignored(replaced(good, "product=", " product="), not_whole);
  ignored(good.substr(0, good.find("product=")) + "\nend\n", not_whole);
  for (const std::size_t length : {good.size() - 1, good.size() - 5}) ignored(good.substr(0, length), not_whole);
  ignored(replaced(good, "kernel=", "kernel=-"), "'kernel=-0.012627604166666669' is not from 0.001 to 1000");
  ignored(replaced(good, "kernel=", "kennel="),
          "'kennel=0.012627604166666669' is none of the names that this version knows");
  for (std::size_t length = 0; length < good.size(); length += 7) {  // cut anywhere: never believed
    const File file(good.substr(0, length));
    CHECK_FALSE(read_costs(file.path, mine).measured);
  }
}

TEST_CASE("no file, a folder and a pipe are ignored, and nothing waits") {
  const std::string nothing =
      "built in, with this processor's caches of 48 and 2048 KB: rewind tune has not measured this machine";
  CHECK(read_costs("", mine).from == nothing);
  CHECK(read_costs("/nonexistent/tune.txt", mine).from == nothing);
  CHECK(read_costs("/dev/null/tune.txt", mine).from == nothing);
  CHECK(read_costs("/tmp", mine).from.find("/tmp is ignored: it is no regular file") != std::string::npos);
  CHECK(read_costs("/dev/zero", mine).from.find("it is no regular file") != std::string::npos);
  const File pipe("");
  std::filesystem::remove(pipe.path);
  REQUIRE(mkfifo(pipe.path.c_str(), 0600) == 0);
  CHECK(read_costs(pipe.path, mine).from.find("it is no regular file") != std::string::npos);
}

TEST_CASE("where it is kept") {
  // What the variables were comes back.
  struct Variable {
    const char* name;
    std::string value;
    bool was;
    explicit Variable(const char* n) : name(n), was(std::getenv(n) != nullptr) {
      if (was) value = std::getenv(n);
    }
    ~Variable() { was ? setenv(name, value.c_str(), 1) : unsetenv(name); }
  } const file("REWIND_TUNE_FILE"), cache("XDG_CACHE_HOME"), home("HOME");
  setenv("REWIND_TUNE_FILE", "here.txt", 1);
  CHECK(costs_path() == "here.txt");
  setenv("REWIND_TUNE_FILE", "", 1);
  CHECK(costs_path().empty());
  unsetenv("REWIND_TUNE_FILE");
  setenv("XDG_CACHE_HOME", "/cache", 1);
  CHECK(costs_path() == "/cache/rewind/tune.txt");
  setenv("XDG_CACHE_HOME", "not/absolute", 1);
  setenv("HOME", "/home/me", 1);
  CHECK(costs_path() == "/home/me/.cache/rewind/tune.txt");
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  CHECK(costs_path().empty());
}

}  // namespace
}  // namespace rw::ir
