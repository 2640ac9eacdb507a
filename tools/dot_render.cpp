#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/dot_render.h>

namespace rw {
namespace {

/// Runs a program found on the PATH, without a shell. Returns its exit code, or -1 when there is no such program.
int run(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ);
  if (failed == ENOENT) return -1;
  if (failed != 0) throw Error(fmt::format("cannot start {}: {}", words[0], std::strerror(failed)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw Error(fmt::format("cannot wait for {}: {}", words[0], std::strerror(errno)));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A path that a program cannot take for an option.
std::string as_argument(const std::string& path) { return path.starts_with('-') ? "./" + path : path; }

}  // namespace

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw Error(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

void render_dot(const std::string& dot_path, std::size_t nodes, const std::string& format, const std::string& path) {
  if (nodes > max_layout_nodes)
    throw Error(
        fmt::format("a graph of {} nodes is too large for Graphviz to lay out (at most {}): fold its time steps "
                    "(--fold) or draw the first few (--window 3); the DOT file is {}",
                    nodes, max_layout_nodes, dot_path));
  write_file(path, "");  // says best what is wrong with the path
  std::vector<std::string> words = {"dot", "-T" + format, "-o" + path};
  if (format == "png") words.insert(words.end(), {"-Gdpi=110", "-Gbgcolor=white"});
  words.push_back(as_argument(dot_path));
  const int code = run(words);
  if (code == 0) return;
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  if (code < 0)
    throw Error(
        fmt::format("Graphviz is not installed, so {} was not made: install it (apt-get install graphviz) and "
                    "run dot -T{} -o{} {}; the DOT file is written",
                    path, format, path, dot_path));
  throw Error(fmt::format("Graphviz failed (exit code {}) on {}", code, dot_path));
}

}  // namespace rw
