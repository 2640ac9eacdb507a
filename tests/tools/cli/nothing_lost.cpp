// A run's work is worth more than its messages, and files that are there more than files to come.
#include <filesystem>
#include <string>
#include <sys/stat.h>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/text/char_model.h>
#include <rewind/tools/cli/places.h>

#include "run.h"

namespace {

namespace fs = std::filesystem;

struct Case {
  Scratch in;
  std::string text = in.write("t.txt", some_text());

  static std::string some_text() {
    std::string text;
    for (int i = 0; i < 300; ++i) text += "int x" + std::to_string(i * 7 % 100) + ";\n";
    return text;
  }
  /// A short run in this folder; `redirection` is the shell's.
  int train(const std::string& options, const std::string& redirection = "2>err") const {
    const std::string command = "cd '" + in.path.string() + "' && '" + rewind_command() +
                                "' train t.txt --hidden 8 --batch 4 --sequence 20 --steps 3 " + options + " " +
                                redirection;
    const int status = std::system(("{ " + command + "; } >'" + in.file("out") + "'").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::string said() const { return in.read("err"); }
};

}  // namespace

TEST_CASE("a run ends with its model, whatever becomes of its messages") {
  for (const char* redirection : {"2>/dev/full", "2>&-", ">/dev/full", ">&-", "<&- >&- 2>&-", "2>&1 | true",
                                  "2>&1 | head -1 >/dev/null", "2>/dev/full >/dev/full"}) {
    CAPTURE(redirection);
    const Case c;
    CHECK(c.train("--checkpoint cp --out m", redirection) == 0);
    CHECK(rw::CharModel::load(c.in.file("m")).options().hidden == 8);
    CHECK(rw::load_arrays(c.in.file("cp")).metadata.at("format") == "rewind training run");
  }
}

TEST_CASE("folders whose names are not UTF-8: the run ends, and goes on") {
  const Case c;
  const fs::path folder = c.in.path / "caf\xe9";
  fs::create_directory(folder);
  fs::rename(c.in.file("t.txt"), folder / "t.txt");
  const std::string enter = "cd caf*; ";
  const Result whole = run_rewind(c.in, "train t.txt --hidden 8 --batch 4 --sequence 20 --steps 5 --out whole", enter);
  REQUIRE(whole.code == 0);
  const Result first = run_rewind(
      c.in, "train t.txt --hidden 8 --batch 4 --sequence 20 --steps 5 --out m --checkpoint cp --pause-after 2", enter);
  CAPTURE(first.err);
  REQUIRE(first.code == 0);
  CHECK(run_rewind(c.in, "train --resume cp", enter).code == 0);
  CHECK(rw::read_file(folder / "m") == rw::read_file(folder / "whole"));
}

TEST_CASE("an output is never an input or another output, by no name") {
  const Case c;
  const std::string text = c.in.read("t.txt");
  fs::create_hard_link(c.in.file("t.txt"), c.in.file("hard"));
  fs::create_symlink("t.txt", c.in.file("soft"));
  for (const char* name : {"t.txt", "./t.txt", "hard", "soft"})
    for (const char* option : {"--out", "--checkpoint", "--curve"}) {
      CAPTURE(name);
      CAPTURE(option);
      CHECK(c.train(std::string(option) + " " + name) == 1);
      CHECK(c.said().find("is also TEXT") != std::string::npos);
    }
  CHECK(c.train("--out m --checkpoint ./m") == 1);
  CHECK(c.said().find("--checkpoint is ./m, which is also --out") != std::string::npos);
  CHECK(c.train("--curve m --out ./m") == 1);
  CHECK_FALSE(c.in.has("m"));
  CHECK(c.in.read("t.txt") == text);
}

TEST_CASE("a file of another kind is not replaced") {
  const Case c;
  c.in.write("notes", "what I thought of all day, and wrote down");
  for (const std::string arguments :
       {"train t.txt --steps 1 --out notes", "train t.txt --steps 1 --checkpoint notes",
        "train t.txt --steps 1 --curve notes", "graph --steps 2 --svg notes", "graph --steps 2 --dot notes",
        "graph --steps 2 --png notes", "graph --steps 2 --html notes", "flow --steps 2 --csv notes",
        "flow --steps 2 --svg notes"}) {
    CAPTURE(arguments);
    CHECK(run_rewind(c.in, arguments).refused("it is not replaced"));
  }
  CHECK(c.in.read("notes").starts_with("what I thought"));
  REQUIRE(c.train("--out book.safetensors") == 0);
  const std::string model = c.in.read("book.safetensors");
  CHECK(run_rewind(c.in, "graph --svg book.safetensors").refused("is no SVG file"));
  CHECK(c.in.read("book.safetensors") == model);
  c.in.write("empty", "");
  CHECK(c.train("--out empty") == 0);
}

TEST_CASE("files of the user's beside an output stay") {
  const Case c;
  for (const char* name : {"m.probe", "m.tmp", "g.svg.dot", "m.1.part"}) c.in.write(name, "mine");
  CHECK(c.train("--out m") == 0);
  run_rewind(c.in, "graph --steps 2 --svg g.svg");                // with or without Graphviz
  run_rewind(c.in, "graph --steps 2 --svg g.svg", "PATH=/none");  // without
  for (const char* name : {"m.probe", "m.tmp", "g.svg.dot", "m.1.part"}) CHECK(c.in.read(name) == "mine");
}

TEST_CASE("a full disk on the way is a warning, and a run that has to end finds another place") {
  const Case c;
  c.in.write("cp", "");
  const Result full = run_rewind(
      c.in, "train t.txt --hidden 8 --batch 4 --sequence 20 --steps 6 --checkpoint /dev/full --pause-after 2 --out m");
  CAPTURE(full.err);
  CHECK(full.code == 0);
  CHECK(full.out.find("go on with: rewind train --resume m.checkpoint") != std::string::npos);
  CHECK(run_rewind(c.in, "train --resume m.checkpoint").code == 0);
  CHECK(c.in.has("m"));
}

TEST_CASE("a checkpoint from elsewhere does not say where a model is written") {
  const Case c;
  fs::create_directory(c.in.file("sub"));
  REQUIRE(c.train("--out m --checkpoint sub/cp --pause-after 2") == 0);
  CHECK(c.in.read("out").find("go on with: rewind train --resume sub/cp --out m") != std::string::npos);
  CHECK(run_rewind(c.in, "train --resume sub/cp").refused("outside of its folder: give --out to say where"));
  CHECK_FALSE(c.in.has("m"));
  const Result resumed = run_rewind(c.in, "train --resume sub/cp --out m");
  CHECK(resumed.code == 0);
  CHECK(resumed.err.find("the model goes to m") != std::string::npos);
}

TEST_CASE("values that no run can have are refused before it begins") {
  const Case c;
  const auto refused = [&](const std::string& arguments, const std::string& words) {
    CAPTURE(arguments);
    CHECK(run_rewind(c.in, arguments).refused(words));
  };
  refused("train t.txt --epochs 1e18", "--epochs is 1e+18: that is more than 1000000000000000 steps");
  refused("train t.txt --steps 1 --hidden 1000000", "make --hidden smaller");
  refused("train t.txt --steps 1 --layers 16000000", "make --hidden smaller");
  refused("flow --forget-bias nan", "--forget-bias is nan");
  refused("flow --cell rnn:1e999", "what follows the colon is a gain");
  refused("train /dev/zero", "/dev/zero: cannot read: it has more than");
  c.in.write("one", std::string(5000, 'x'));
  refused("train one --early-stop 1", "the text has only the character 'x': there is nothing to learn");
}

TEST_CASE("names in messages are no commands to a terminal") {
  const Case c;
  for (const std::string arguments : {"train $'\\033[31mred'", "train t.txt --cell $'\\033[31mred'",
                                      "flow --cell $'rnn:\\033[31mred'", "graph $'\\033[31mred'"}) {
    CAPTURE(arguments);
    c.in.write("run.sh", "'" + rewind_command() + "' " + arguments + " 2>err\n");
    CHECK(std::system(("cd '" + c.in.path.string() + "' && bash run.sh >out").c_str()) != 0);
    CHECK(c.said().find('\033') == std::string::npos);
    CHECK(c.said().find("\\x1b[31mred") != std::string::npos);
  }
}

TEST_CASE("a page keeps its data, whatever its title says") {
  if (std::system("command -v dot >/dev/null 2>&1") != 0) {
    MESSAGE("skipped: needs Graphviz (dot)");
    return;
  }
  const Case c;
  REQUIRE(run_rewind(c.in, "graph --steps 2 --html p.html --title '@DATA@ @TITLE@'").code == 0);
  const std::string page = c.in.read("p.html");
  CHECK(page.find("<title>@DATA@ @TITLE@</title>") != std::string::npos);
  CHECK(page.find("type=\"application/json\">{\"title\"") != std::string::npos);
}

TEST_CASE("a checkpoint whose options are of another kind is refused in words of ours") {
  const Case c;
  REQUIRE(c.train("--checkpoint cp --pause-after 1") == 0);
  const rw::ArrayFile good = rw::load_arrays(c.in.file("cp"));
  const auto refused = [&](const std::string& entry, const std::string& from, const std::string& to,
                           const std::string& words) {
    CAPTURE(to);
    rw::ArrayFile bad = good;
    std::string& text = bad.metadata[entry];
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
    rw::save_arrays(c.in.file("bad"), bad);
    CHECK(run_rewind(c.in, "train --resume bad").refused(words));
  };
  refused("options", "\"layers\":1", "\"layers\":1e308", "its \"layers\" is 1e+308");
  refused("options", "\"layers\":1", "\"layers\":\"1\"", "its \"layers\" is \"1\"");
  refused("options", "\"layers\":1", "\"layer\":1", "its options are not those of a run");
  refused("options", "{", "[", "its options are not those of a run");
  refused("budget", "\"steps\":3", "\"steps\":true", "its \"steps\" is true");
  refused("files", "\"texts\"", "\"text\"", "its options are not those of a run");
  refused("seconds", good.metadata.at("seconds"), "soon", "for how many seconds");
}
