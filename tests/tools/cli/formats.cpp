// Files of released versions are read for ever: a folder of tests/golden for each.
#include <cmath>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include <rewind/models/text/char_model.h>
#include <rewind/tools/cli/trainer.h>

#include "run.h"

using namespace rw;

namespace {

std::string golden(const std::string& version, const std::string& name) {
  return source_dir() + "/tests/golden/" + version + "/" + name;
}

/// Not the bits: those of products are a processor's.
void check_close(const CharModel& a, const CharModel& b) {
  const auto as = a.parameters(), bs = b.parameters();
  REQUIRE(as.size() == bs.size());
  for (std::size_t i = 0; i < as.size(); ++i) {
    const auto x = as[i].parameter->value().to_vector<double>(), y = bs[i].parameter->value().to_vector<double>();
    REQUIRE(x.size() == y.size());
    for (std::size_t j = 0; j < x.size(); ++j) CHECK(std::abs(x[j] - y[j]) < 1e-5);
  }
}

}  // namespace

TEST_CASE("models of every released version are read") {
  for (const char* version : {"v0.2"}) {
    CAPTURE(version);
    const CharModel model = CharModel::load(golden(version, "model.safetensors"));
    CHECK(model.options().cell == "lstm");
    CHECK(model.options().hidden == 6);
    CHECK(model.options().embedding == 4);
    CHECK(model.vocabulary().size() == 18);
    CHECK(model.parameter_count() == 462);
  }
}

TEST_CASE("a run that a released version saved goes on to the model that it made then") {
  for (const char* version : {"v0.2"}) {
    CAPTURE(version);
    const Scratch in;
    for (const char* name : {"text.txt", "run.checkpoint"})
      std::filesystem::copy_file(golden(version, name), in.file(name));
    // Its texts and outputs lay in another folder.
    const Result result =
        run_rewind(in, "train text.txt --resume run.checkpoint --out m --checkpoint run.checkpoint --quiet");
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    check_close(CharModel::load(in.file("m")), CharModel::load(golden(version, "model.safetensors")));
  }
}
