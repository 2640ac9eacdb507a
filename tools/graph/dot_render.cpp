#include <fstream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/graph/dot_render.h>
#include <rewind/tools/process.h>

namespace rw {
namespace {

void check_size(std::size_t nodes, const std::string& more) {
  if (nodes > max_layout_nodes)
    throw Error(
        fmt::format("a graph of {} nodes is too large for Graphviz to lay out (at most {}): fold its time steps "
                    "(--fold) or draw the first few (--window 3){}",
                    nodes, max_layout_nodes, more));
}

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line.empty() ? "" : ": " + line;
}

void lay_out(const std::string& dot_path, const std::string& format, const std::string& path) {
  std::vector<std::string> words = {"dot", "-T" + format, "-o" + path};
  if (format == "png") words.insert(words.end(), {"-Gdpi=110", "-Gbgcolor=white"});
  words.push_back(dot_path);
  const std::string messages = path + ".messages";
  int code = detail::run_program(words, messages);
  if (code > 0 && code < 128) {  // dot loses itself in some nested boxes, in which its other way to rank nodes does not
    words.insert(words.end() - 1, "-Gnewrank=true");
    code = detail::run_program(words, messages);
  }
  if (code < 0) throw Error("Graphviz is not installed (apt-get install graphviz)");
  if (code != 0) throw Error(fmt::format("Graphviz failed with exit code {}{}", code, first_line(messages)));
}

}  // namespace

std::string laid_out(const std::string& dot, std::size_t nodes, const std::string& format) {
  check_size(nodes, "");
  const detail::ScratchFolder scratch;
  const std::string from = scratch.path() + "/graph.dot", to = scratch.path() + "/graph." + format;
  write_file(from, dot);
  lay_out(from, format, to);
  return read_file(to);
}

void render_dot(const std::string& dot_path, std::size_t nodes, const std::string& format, const std::string& path) {
  try {
    write_file(path, laid_out(read_file(dot_path), nodes, format));
  } catch (const Error& e) {
    throw Error(fmt::format("{} was not made: {}; the DOT file is {}", path, e.what(), dot_path));
  }
}

std::string dot_to_svg(const std::string& dot, std::size_t nodes) {
  const std::string text = laid_out(dot, nodes, "svg");
  const std::size_t begin = text.find("<svg");
  if (begin == std::string::npos) throw Error("Graphviz wrote no SVG");
  return text.substr(begin);
}

}  // namespace rw
