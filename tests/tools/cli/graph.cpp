#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#ifdef REWIND_HAS_COMMAND

#include "run.h"

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

}  // namespace

TEST_CASE("rewind graph draws every cell and topology") {
  Command graph{"graph"};
  for (const char* cell : {"lstm", "gru", "gru-before", "rnn", "rnn-relu"}) {
    REQUIRE(graph(std::string("--steps 20 --fold --cell ") + cell) == 0);
    CHECK(graph.out.find("x 20") != std::string::npos);
    CHECK(graph.out.find("z^-1") != std::string::npos);
  }
  REQUIRE(graph("--steps 20 --fold --layers 2 --bidirectional") == 0);
  CHECK(count(graph.out, "x 20\"") >= 4);
  REQUIRE(graph("--steps 3 --backward --dot") == 0);
  CHECK(graph.scratch.read("graph.dot").find("backward") != std::string::npos);
  REQUIRE(graph("--steps 3 --overlay gradient") == 0);
  CHECK(graph.out.find("|dx|") != std::string::npos);
  REQUIRE(graph("--steps 500 --layers 4 --fold") == 0);
  CHECK(count(graph.out, " [id=") < 100);
  REQUIRE(graph("--steps 50 --window 2") == 0);
  CHECK(graph.out.find("47 steps") != std::string::npos);
}

TEST_CASE("rewind graph prints the program as text") {
  Command graph{"graph"};
  REQUIRE(graph("--cell rnn --steps 2 --hidden 4 --text") == 0);
  CHECK(graph.out.substr(0, 12) == "program f32\n");
  CHECK(count(graph.out, " = matmul ") >= 2);
  CHECK(graph.out.find("\nreturn n") != std::string::npos);
  const std::size_t forward = count(graph.out, "\n");
  REQUIRE(graph("--cell rnn --steps 2 --hidden 4 --text --backward") == 0);
  CHECK(count(graph.out, " backward\n") > 0);
  CHECK(count(graph.out, "\n") > forward);
  REQUIRE(graph("--cell rnn --steps 20 --hidden 4 --text") == 0);
  CHECK(graph.out.find("\nloop t 20\n") != std::string::npos);
  CHECK(graph("--text --svg") != 0);
}

TEST_CASE("rewind graph says what is wrong in one line") {
  Command graph{"graph"};
  const auto fails = [&](const std::string& arguments, const std::string& part, const std::string& environment = "") {
    CHECK(graph(arguments, environment) != 0);
    CHECK(graph.err.find(part) != std::string::npos);
    CHECK(count(graph.err, "\n") == 1);
  };
  fails("--steps 0", "--steps is 0");
  fails("--hidden -4", "--hidden is -4");
  fails("--hidden 100000", "--hidden is 100000: it must be at most 4096");
  fails("--steps 100000000", "--steps is 100000000: it must be at most 100000");
  fails("--steps 50000 --layers 3", "--layers is 3: it must be at most 2");
  fails("--cell transformer", "lstm");
  fails("some.safetensors --cell gru", "MODEL excludes --cell");
  fails("missing.safetensors", "missing.safetensors");
  fails("--dot /no/such/folder/x.dot", "/no/such/folder/x.dot: cannot create a file in its folder");
  fails("--overlay loud", "overlay");
  fails("--steps 500 --svg big.svg", "--fold");
  CHECK(graph.scratch.has("big.svg.dot"));
  for (const char* kind : {"svg", "png", "html"}) {
    const std::string file = std::string("none.") + kind;
    fails(std::string("--") + kind + " " + file, "Graphviz is not installed (apt-get install graphviz)", "PATH=/none");
    CHECK(graph.scratch.has(file + ".dot"));
    CHECK_FALSE(graph.scratch.has(file));
  }
}

TEST_CASE("rewind graph asks Graphviz a second time, in another way, where it fails") {
  Command graph{"graph"};
  const auto fake = [&](const std::string& when_new) {
    const std::string begin =
        "#!/bin/sh\n"
        "for a; do case $a in -o*) out=${a#-o};; -Gnewrank=true) new=1;; esac; done\n"
        "test $new || { echo 'Error: lost' >&2; exit 1; }\n";
    std::filesystem::permissions(graph.scratch.write("dot", begin + when_new), std::filesystem::perms::owner_all);
  };
  const std::string path = "PATH=" + graph.scratch.path.string();
  fake("echo '<svg/>' >$out\n");
  CHECK(graph("--svg a.svg", path) == 0);
  CHECK(graph.scratch.read("a.svg") == "<svg/>\n");
  CHECK(graph.err.find("lost") == std::string::npos);
  fake("echo 'Error: lost again' >&2; echo more >&2; exit 3\n");
  CHECK(graph("--svg b.svg", path) == 1);
  CHECK(graph.err ==
        "rewind: b.svg was not made: Graphviz failed with exit code 3: Error: lost again; the DOT file is b.svg.dot\n");
}

TEST_CASE("rewind graph writes pictures") {
  Command graph{"graph"};
  if (std::system("command -v dot >/dev/null 2>&1") != 0) {
    MESSAGE("skipped: needs Graphviz (dot)");
    return;
  }
  REQUIRE(graph("--cell rnn --steps 2 --svg --png p.png --html") == 0);
  CHECK(graph.scratch.read("graph.svg").find("</svg>") != std::string::npos);
  CHECK(graph.scratch.read("p.png").substr(1, 3) == "PNG");
  CHECK(graph.scratch.read("graph.html").find("</html>") != std::string::npos);
  CHECK_FALSE(graph.scratch.has("graph.svg.dot"));
}

#endif
