#include <doctest/doctest.h>

#include <rewind/autograd/compile/choices/costs.h>
#include <rewind/tools/cli/machine_costs.h>

#include "run.h"

TEST_CASE("rewind tune measures, and keeps what it measured where it says") {
  const Scratch dir;
  const Result r = run_rewind(dir, "tune --seconds 0", "export REWIND_TUNE_FILE=new/folder/tune.txt; ");
  INFO(r.out << r.err);
  CHECK(r.code == 0);
  CHECK(r.out.find("f32 product 64 x 1024 x 256") != std::string::npos);
  CHECK(r.out.find("kept in new/folder/tune.txt") != std::string::npos);
  const auto read = rw::ir::read_costs(dir.file("new/folder/tune.txt"), rw::this_processor());
  CHECK(read.measured);
  CHECK(read.from == "measured by rewind tune, from " + dir.file("new/folder/tune.txt"));
  const double rate = 2e-3 / read.costs.multiplication;  // GFLOP/s
  CHECK(rate > 0.05);
  CHECK(rate < 5e4);
}

TEST_CASE("rewind tune replaces its own file alone") {
  const Scratch dir;
  dir.write("model.safetensors", "something else");
  CHECK(run_rewind(dir, "tune --seconds 0", "export REWIND_TUNE_FILE=model.safetensors; ")
            .refused("model.safetensors: is no result of rewind tune, and is not replaced"));
  CHECK(dir.read("model.safetensors") == "something else");
  CHECK(run_rewind(dir, "tune --seconds 0", "export REWIND_TUNE_FILE=; ").refused("no place to keep the result"));
  CHECK(run_rewind(dir, "tune --seconds 0", "export REWIND_TUNE_FILE=model.safetensors/tune.txt; ").code == 1);
  CHECK(run_rewind(dir, "tune --seconds 61").refused("--seconds is 61: it must be from 0 to 60"));
  CHECK(run_rewind(dir, "tune --seconds nan").refused("--seconds is nan: it must be from 0 to 60"));
}

TEST_CASE("two that write at once leave one of both results, whole") {
  const Scratch dir;
  const Result r =
      run_rewind(dir, "tune --seconds 0 >/dev/null; wait",
                 "export REWIND_TUNE_FILE=tune.txt; '" + rewind_command() + "' tune --seconds 0 >/dev/null & ");
  INFO(r.err);
  CHECK(r.code == 0);
  CHECK(rw::ir::read_costs(dir.file("tune.txt"), rw::this_processor()).measured);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path)) ++files;
  CHECK(files == 3);  // and what the test keeps of its streams
}
