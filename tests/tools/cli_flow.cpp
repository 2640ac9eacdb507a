#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#ifdef REWIND_COMMAND

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

/// Runs `rewind flow` in a folder of its own.
struct Command {
  fs::path folder = fs::temp_directory_path() / ("rewind_flow_" + std::to_string(getpid()));
  std::string out, err;

  Command() { fs::create_directories(folder); }
  ~Command() { fs::remove_all(folder); }
  int operator()(const std::string& arguments, const std::string& environment = "") {
    const std::string line = "cd '" + folder.string() + "' && " + environment + " " REWIND_COMMAND " flow " +
                             arguments + " >out.txt 2>err.txt";
    const int status = std::system(line.c_str());
    out = text_of(folder / "out.txt");
    err = text_of(folder / "err.txt");
    return WEXITSTATUS(status);
  }
};

}  // namespace

TEST_CASE("rewind flow compares cells") {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0) {
    MESSAGE("skipped: needs gnuplot");
    return;
  }
  Command flow;
  REQUIRE(flow("--cell rnn,rnn-relu:3,lstm,gru --steps 20 --hidden 8") == 0);
  CHECK(flow.out.find("vanishing") != std::string::npos);
  CHECK(flow.out.find("exploding") != std::string::npos);
  const std::string csv = text_of(flow.folder / "flow.csv"), svg = text_of(flow.folder / "flow.svg");
  for (const char* part : {"rnn-relu:3,carried,,0,", "lstm,contribution,W,20,", "gru,saturated_high,sigmoid 1,1,",
                           "rnn,loss_gradient,,20,", "rnn,step_jacobian,,1,", "rnn,singular_value,"})
    CHECK_MESSAGE(csv.find(part) != std::string::npos, part);
  CHECK(svg.find("</svg>") != std::string::npos);
  CHECK(svg.find("time step t") != std::string::npos);
}

TEST_CASE("rewind flow says what is wrong, and keeps what was there") {
  Command flow;
  const auto fails = [&](const std::string& arguments, const std::string& part, const std::string& environment = "") {
    CHECK(flow(arguments, environment) != 0);
    CHECK_MESSAGE(flow.err.find(part) != std::string::npos, flow.err);
  };
  fails("--steps 0", "--steps is 0");
  fails("--cell rnn:big", "gain");
  fails("--cell transformer", "lstm");
  fails("--steps 3 --csv /no/such/folder/x.csv", "cannot write /no/such/folder/x.csv");
  std::ofstream(flow.folder / "old.svg") << "old";
  fails("--steps 3 --svg old.svg", "gnuplot is not installed", "PATH=/none");
  CHECK(text_of(flow.folder / "old.svg") == "old");
  CHECK(fs::exists(flow.folder / "flow.csv"));
}

#endif
