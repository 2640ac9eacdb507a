#include <string>

#include <doctest/doctest.h>

#ifdef REWIND_HAS_COMMAND

#include <rewind/models/text/char_model.h>

#include "run.h"

namespace {

void save_model(const Scratch& in, bool dropout = false) {
  rw::Rng rng(1);
  rw::CharModel(rw::Vocabulary(U"abcdé"), {.layers = 2, .hidden = 8, .dropout = dropout ? 0.5 : 0}, rng)
      .save(in.file("m"));
}

/// Compiles a program that prints the likeliest characters after "a", and runs it.
std::string greedy(const Scratch& in, const std::string& model, const std::string& globals = "") {
  in.write("main.cpp", "#include <cstdio>\n#include \"voice.h\"\n" + globals + R"(
int main() {
  )" + model + R"(
  voice::State state;
  model.reset(state);
  std::int32_t x = 0;
  voice::Real y[voice::outputs];
  for (int i = 0; i < 20; ++i) {
    model.step(&x, state, y);
    x = 0;
    for (std::size_t k = 1; k < voice::outputs; ++k)
      if (y[k] > y[static_cast<std::size_t>(x)]) x = static_cast<std::int32_t>(k);
    if (voice::characters[x] < 128) std::putchar(static_cast<int>(voice::characters[x]));
    else std::fputs("\xc3\xa9", stdout);
  }
}
)");
  const std::string command = "cd '" + in.path.string() +
                              "' && g++ -std=c++17 -O0 -Wall -Wextra -Wconversion -Werror " +
                              "main.cpp -o main >said.txt 2>&1 && ./main >out.txt";
  const bool done = std::system(command.c_str()) == 0;
  CAPTURE(in.read("said.txt"));
  REQUIRE(done);
  return in.read("out.txt");
}

}  // namespace

TEST_CASE("rewind export writes a header that says what rewind sample says") {
  Command command{"export"};
  save_model(command.scratch, true);
  const std::string expected = run_rewind(command.scratch, "sample m --prompt a --greedy --length 20").out.substr(1);
  REQUIRE(command("m --header voice.h") == 0);
  CHECK(command.err.find("5 characters, ") == 0);
  CHECK(greedy(command.scratch, "const voice::Model model;") + "\n" == expected);
  REQUIRE(command("m --header voice.h --f64 --pad 1") == 0);
  CHECK(greedy(command.scratch, "const voice::Model model;") + "\n" == expected);
  REQUIRE(command("m --header sound.h --name voice --weights voice.bin") == 0);
  std::filesystem::rename(command.scratch.path / "sound.h", command.scratch.path / "voice.h");
  const std::string read =
      "std::FILE* file = std::fopen(\"voice.bin\", \"rb\");\n"
      "  const std::size_t size = std::fread(bytes, 1, sizeof bytes, file);\n"
      "  const voice::Weights* w = voice::weights_in(bytes, size);\n"
      "  if (w == nullptr) return 1;\n"
      "  const voice::Model model(*w);";
  CHECK(greedy(command.scratch, read, "alignas(64) static unsigned char bytes[100000];\n") + "\n" == expected);
}

TEST_CASE("rewind export in int8 says how far it is off on a text") {
  Command command{"export"};
  save_model(command.scratch);
  command.scratch.write("text", "abcdéaabbccdd");
  command.scratch.write("other", "abx");
  command.scratch.write("empty", "");
  REQUIRE(command("m --header voice.h --int8 --data text") == 0);
  CHECK(command.err.find("int8: over 13 characters the logits, up to ") != std::string::npos);
  CHECK(command.err.find("are off by at most 0.") != std::string::npos);
  CHECK(command.scratch.read("voice.h").find("std::int8_t") != std::string::npos);
  const auto run = [&](const std::string& arguments) { return run_rewind(command.scratch, "export m " + arguments); };
  CHECK(run("--header a.h --data text").refused("--int8"));
  CHECK(run("--header a.h --int8 --data other").refused("lacks 'x'"));
  CHECK(run("--header a.h --int8 --data empty").refused("is empty"));
  CHECK(run("--header text --int8 --data text").refused("which is also --data"));
  CHECK(!command.scratch.has("a.h"));
}

TEST_CASE("rewind export --onnx writes a file, or says that it cannot") {
  Command command{"export"};
  save_model(command.scratch, true);
  if (command("m --onnx a.onnx") == 0) {
    CHECK(command.err.find("bytes of ONNX") != std::string::npos);
    CHECK(command.scratch.read("a.onnx").find("LSTM") != std::string::npos);
    CHECK(command("m --onnx a.onnx --name voice") == 0);  // in place of its own
    CHECK(command.scratch.read("a.onnx").find("voice") != std::string::npos);
  } else {
    CHECK(command.err.find("built without ONNX") != std::string::npos);
    CHECK(!command.scratch.has("a.onnx"));
  }
}

TEST_CASE("rewind export --train writes a header that learns a text") {
  Command command{"export"};
  save_model(command.scratch);
  REQUIRE(command("m --header voice.h --train --window 6 --rate 0.02") == 0);
  command.scratch.write("main.cpp", R"(#include <cstdio>
#include "voice.h"
int main() {
  static voice::Trainer trainer;
  voice::Real y[voice::outputs], first = 0;
  for (std::int32_t i = 0; i < 1200; ++i) {
    const std::int32_t x = i % 5, next = (i + 1) % 5;
    if (trainer.step(&x, &next, y) && first == 0) first = trainer.loss;
  }
  return first > 1 && trainer.loss < voice::Real(0.1) ? 0 : 1;
}
)");
  const std::string flags = "-std=c++17 -O1 -Wall -Wextra -Wconversion -Werror -fno-exceptions -fno-rtti ";
  const std::string in_folder = "cd '" + command.scratch.path.string() + "' && ";
  const bool learned =
      std::system((in_folder + "g++ " + flags + "main.cpp -o main >said.txt 2>&1 && ./main").c_str()) == 0;
  CAPTURE(command.scratch.read("said.txt"));
  CHECK(learned);
  const auto run = [&](const std::string& arguments) { return run_rewind(command.scratch, "export m " + arguments); };
  CHECK(run("--header a.h --train --int8").refused("--int8"));
  CHECK(run("--header a.h --window 3").refused("--train"));
  CHECK(run("--header a.h --train --window 0").refused("above 0"));
  CHECK(!command.scratch.has("a.h"));
}

TEST_CASE("rewind export --sequence writes a run that gives what the steps give") {
  Command command{"export"};
  save_model(command.scratch);
  REQUIRE(command("m --header voice.h") == 0);
  REQUIRE(command("m --header whole.h --sequence") == 0);
  command.scratch.write("main.cpp", R"(#include "voice.h"
#include "whole.h"
int main() {
  const std::int32_t x[] = {0, 3, 1, 4, 2, 2, 0, 1};
  float a[8 * voice::outputs], b[whole::outputs(8)], workspace[whole::workspace_size(8)], worst = 0;
  voice::State steps;
  whole::State state;
  voice::Model().reset(steps);
  whole::Model().reset(state);
  voice::Model().run(x, 8, steps, a);
  if (!whole::Model().run(x, 8, state, b, workspace)) return 1;
  for (std::size_t i = 0; i < whole::outputs(8); ++i) worst = std::fabs(a[i] - b[i]) > worst ? std::fabs(a[i] - b[i]) : worst;
  return whole::outputs(8) == 8 * voice::outputs && worst < 1e-5f ? 0 : 2;
}
)");
  const std::string in_folder = "cd '" + command.scratch.path.string() + "' && ";
  CHECK(std::system(
            (in_folder + "g++ -std=c++17 -O0 -Wall -Wextra -Wconversion -Werror main.cpp -o main && ./main").c_str()) ==
        0);
}

TEST_CASE("rewind export says what is wrong in one line and writes nothing") {
  const Scratch in;
  save_model(in);
  const auto run = [&](const std::string& arguments) { return run_rewind(in, "export " + arguments); };
  CHECK(run("").refused("MODEL is required"));
  CHECK(run("m").refused("--header is required"));
  CHECK(run("m --onnx a.onnx --header a.h").refused("--header"));
  CHECK(run("m --onnx a.onnx --int8").refused("--header"));
  CHECK(run("m --onnx m").refused("which is also MODEL"));
  CHECK(run("m --onnx nowhere/a.onnx").refused("nowhere"));
  CHECK(!in.has("a.onnx"));
  CHECK(run("none --header a.h").refused("none"));
  CHECK(run("m --header 2a.h").refused("the name must be one of C++"));
  CHECK(run("m --header a.h --name 'a b'").refused("the name must be one of C++"));
  CHECK(run("m --header m").refused("which is also MODEL"));
  CHECK(run("m --header a.h --weights a.h").refused("which is also --header"));
  CHECK(run("m --header a.h --pad 0").refused("padded"));
  CHECK(run("m --onnx a.onnx --sequence").refused("--header"));
  CHECK(run("m --header a.h --sequence --train").refused("without --sequence: it trains on windows of --window steps"));
  CHECK(run("m --header a.h --sequence --pad 1").refused("--sequence"));
  CHECK(run("m --header nowhere/a.h").refused("nowhere"));
  CHECK(!in.has("a.h"));
  in.write("mine.h", "int x;\n");
  CHECK(run("m --header mine.h --name a").refused("is no header of rewind export"));
  CHECK(in.read("mine.h") == "int x;\n");
  CHECK(run("m --onnx mine.h").refused("is no ONNX file of rewind export"));
  in.write("broken", in.read("m").substr(0, 200));
  CHECK(run("broken --header a.h").refused("broken"));
  CHECK(!in.has("a.h"));
}

#endif
