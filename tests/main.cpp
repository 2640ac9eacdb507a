// The main of every test executable. A filter that matches no test is an error: CTest names one file for each entry,
// and a misspelt or empty file must not pass by running nothing.
#include <cstdlib>
#include <iostream>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "paths.h"

namespace {

unsigned tests_that_match = 0;

struct CountTests : doctest::IReporter {
  explicit CountTests(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& stats) override {
    tests_that_match = stats.numTestCasesPassingFilters;
  }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("count_tests", 1, CountTests);

}  // namespace

std::string source_dir() { return REWIND_SOURCE_DIR; }
#ifdef REWIND_COMMAND
std::string rewind_command() { return REWIND_COMMAND; }
#endif

int main(int argc, char** argv) {
  setenv("REWIND_TUNE_FILE", "", 1);  // what was measured on this machine is no part of a test
  doctest::Context context(argc, argv);
  const int result = context.run();
  if (context.shouldExit()) return result;
  if (tests_that_match == 0) {
    std::cerr << "no test matches the filter\n";
    return 1;
  }
  return result;
}
