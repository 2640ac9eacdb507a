#include <string>

#include <doctest/doctest.h>

#ifdef REWIND_HAS_COMMAND

#include "run.h"

TEST_CASE("rewind flow compares cells") {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0) {
    MESSAGE("skipped: needs gnuplot");
    return;
  }
  Command flow{"flow"};
  REQUIRE(flow("--cell rnn,rnn-relu:3,lstm,gru --steps 20 --hidden 8") == 0);
  CHECK(flow.out.find("vanishing") != std::string::npos);
  CHECK(flow.out.find("exploding") != std::string::npos);
  const std::string csv = flow.scratch.read("flow.csv"), svg = flow.scratch.read("flow.svg");
  for (const char* part : {"rnn-relu:3,carried,,0,", "lstm,contribution,W,20,", "gru,saturated_high,sigmoid 1,1,",
                           "rnn,loss_gradient,,20,", "rnn,step_jacobian,,1,", "rnn,singular_value,"})
    CHECK_MESSAGE(csv.find(part) != std::string::npos, part);
  CHECK(svg.find("</svg>") != std::string::npos);
  CHECK(svg.find("time step t") != std::string::npos);
  // A reservoir's matrix is no parameter, and is scaled all the same.
  REQUIRE(flow("--cell echo-state+density=1,echo-state+density=1:3 --steps 3 --hidden 8") == 0);
  const std::string both = flow.scratch.read("flow.csv");
  const auto sigma = [&](const std::string& cell) {
    const std::size_t at = both.find(cell + ",singular_value,");
    REQUIRE(at != std::string::npos);
    return std::stod(both.substr(both.rfind(',', both.find('\n', at)) + 1));
  };
  CHECK(sigma("echo-state+density=1:3") == doctest::Approx(3 * sigma("echo-state+density=1")).epsilon(1e-5));
}

TEST_CASE("rewind flow says what is wrong, and keeps what was there") {
  Command flow{"flow"};
  const auto fails = [&](const std::string& arguments, const std::string& part, const std::string& environment = "") {
    CHECK(flow(arguments, environment) != 0);
    CHECK_MESSAGE(flow.err.find(part) != std::string::npos, flow.err);
  };
  fails("--steps 0", "--steps is 0");
  fails("--cell rnn:big", "gain");
  fails("--cell transformer", "lstm");
  fails("--cell min-gru:1.5", "this cell has no recurrent matrix to scale");
  fails("--steps 3 --csv /no/such/folder/x.csv", "/no/such/folder/x.csv: cannot create a file in its folder");
  flow.scratch.write("old.svg", "<svg/>");
  fails("--steps 3 --svg old.svg", "gnuplot is not installed", "PATH=/none");
  CHECK(flow.scratch.read("old.svg") == "<svg/>");
  CHECK(flow.scratch.has("flow.csv"));
}

#endif
