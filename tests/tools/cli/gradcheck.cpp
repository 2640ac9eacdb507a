#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <rewind/models/text/char_model.h>

#include "run.h"

TEST_CASE("rewind gradcheck: right, as a table") {
  const Scratch dir;
  const Result r = run_rewind(dir, "gradcheck --cell gru --layers 2 --steps 2 --hidden 2 --order 2");
  INFO(r.out << r.err);
  CHECK(r.code == 0);
  CHECK(r.out.starts_with("gradcheck: right"));
  CHECK(r.out.find("layer1.R") != std::string::npos);
  CHECK(r.out.find('\033') == std::string::npos);  // no colours into a file
}

TEST_CASE("rewind gradcheck --json") {
  const Scratch dir;
  const Result r = run_rewind(dir, "gradcheck --cell rnn --steps 2 --hidden 2 --json");
  CHECK(r.code == 0);
  const auto json = nlohmann::json::parse(r.out);
  CHECK(json.at("verdict") == "right");
  CHECK(json.at("parameters").size() == 3);
  CHECK(json.at("parameters")[0].at("counts").at("right") == 6);
}

TEST_CASE("rewind gradcheck --f32") {
  const Scratch dir;
  const Result r = run_rewind(dir, "gradcheck --cell lstm --steps 3 --f32");
  INFO(r.out << r.err);
  CHECK(r.code == 0);
  CHECK(r.out.starts_with("f32 replayed in f64: right"));
}

TEST_CASE("rewind gradcheck --compiled") {
  const Scratch dir;
  const Result r = run_rewind(dir, "gradcheck --cell gru --layers 2 --steps 3 --hidden 3 --compiled");
  INFO(r.out << r.err);
  CHECK(r.code == 0);
  CHECK(r.out.starts_with("gradcheck: right"));
  const Result both = run_rewind(dir, "gradcheck --compiled --f32");
  CHECK(both.code != 0);
  CHECK(both.err.find("give one of them") != std::string::npos);
  CHECK(run_rewind(dir, "gradcheck --compiled --order 2").code != 0);
}

TEST_CASE("rewind gradcheck of a saved model; anything but right is exit code 1") {
  const Scratch dir;
  rw::Rng rng(1);
  const rw::Vocabulary vocabulary = rw::Vocabulary::of(U"abc");
  rw::CharModel({vocabulary}, {.cell = "gru", .layers = 1, .hidden = 2}, rng).save(dir.file("gru.safetensors"));
  const Result right = run_rewind(dir, "gradcheck gru.safetensors --steps 2");
  INFO(right.out << right.err);
  CHECK(right.code == 0);
  CHECK(right.out.find("output.W") != std::string::npos);

  // Layers of zeros: every relu stands at its kink.
  const rw::CharModelOptions zeros{.cell = "rnn-relu", .layers = 1, .hidden = 2, .init = rw::Init::constant(0)};
  rw::CharModel relu(vocabulary, zeros, rng);
  rw::Parameter& out = relu.parameter("output.W");
  for (rw::Index i = 0; i < out.size(); ++i) out.edit().as<float>()[i] = static_cast<float>(i + 1);
  relu.save(dir.file("relu.safetensors"));
  const Result kink = run_rewind(dir, "gradcheck relu.safetensors --steps 2 --json");
  INFO(kink.out << kink.err);
  CHECK(kink.code == 1);
  const auto json = nlohmann::json::parse(kink.out);
  CHECK(json.at("verdict") == "kink");
  CHECK(json.at("kinks").size() > 0);
  CHECK(json.at("ok") == false);
}

TEST_CASE("rewind gradcheck: bad arguments") {
  const Scratch dir;
  CHECK(run_rewind(dir, "gradcheck --order 3").code == 2);
  CHECK(run_rewind(dir, "gradcheck --elements -1").code == 2);
  CHECK(run_rewind(dir, "gradcheck --cell lstn").refused("lstm, gru"));
  CHECK(run_rewind(dir, "gradcheck --hidden 0").refused("--hidden is 0"));
  CHECK(run_rewind(dir, "gradcheck missing.safetensors").refused("missing.safetensors"));
  CHECK(run_rewind(dir, "gradcheck >/dev/full").refused("standard output is closed or full"));
}
