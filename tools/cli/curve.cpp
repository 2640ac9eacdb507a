#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/curve.h>
#include <rewind/tools/process.h>

namespace rw::cli {

namespace {

/// Inside single quotes for gnuplot and for the shell.
std::string quoted(const std::string& text, const char* quote) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += quote;
    else
      out += c;
  }
  return out + "'";
}

std::string block(const char* name, const std::vector<Curve::Point>& points) {
  std::string out = fmt::format("${} << EOD\n", name);
  for (const auto& p : points) out += fmt::format("{:.6g} {:.6g}\n", p.epoch, p.loss);
  return out + "EOD\n";
}

struct NoSigpipe {
  NoSigpipe() : before(std::signal(SIGPIPE, SIG_IGN)) {}
  ~NoSigpipe() { std::signal(SIGPIPE, before); }
  void (*before)(int);
};

/// Runs gnuplot on a script, its SVG going into `path`; whether all went well.
bool run_gnuplot(const std::string& script, const std::string& path) {
  const NoSigpipe no_sigpipe;  // a gnuplot that is gone is an error of ours, not our end
  const std::string command = "{ gnuplot > " + quoted(path, "'\\''") + "; } 2>/dev/null";
  std::FILE* pipe = popen(command.c_str(), "w");
  if (pipe == nullptr) return false;
  const bool written = std::fwrite(script.data(), 1, script.size(), pipe) == script.size();
  return pclose(pipe) == 0 && written;
}

}  // namespace

std::vector<Curve::Point> thinned(const std::vector<Curve::Point>& points, std::size_t most) {
  if (points.size() <= most) return points;
  std::vector<Curve::Point> out;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t from = i * points.size() / most, to = (i + 1) * points.size() / most;
    Curve::Point mean;
    for (std::size_t p = from; p < to; ++p) {
      mean.epoch += points[p].epoch / static_cast<double>(to - from);
      mean.loss += points[p].loss / static_cast<double>(to - from);
    }
    out.push_back(mean);
  }
  return out;
}

std::string gnuplot_script(const Curve& curve) {
  // #767676 has a contrast of 4.5 on white and of 4.6 on black; the paper stays transparent.
  std::string out =
      "set terminal svg size 800,480 font 'sans-serif,14'\n"
      "set xlabel 'epochs' textcolor '#767676'\n"
      "set ylabel 'nats per character' textcolor '#767676'\n"
      "set border 3 linecolor '#767676'\n"
      "set xtics nomirror textcolor '#767676'\n"
      "set ytics nomirror textcolor '#767676'\n"
      "set grid ytics linecolor '#767676' linewidth 0.3\n"
      "set key top right textcolor '#767676'\n"
      "set offsets graph 0, graph 0.02, graph 0.05, graph 0.05\n";
  std::string plots;
  const auto plot = [&](const std::string& what) { plots += (plots.empty() ? "plot " : ", ") + what; };
  if (!curve.train.empty()) {
    out += block("train", thinned(curve.train, 400));
    plot("$train with lines linewidth 1.5 linecolor '#3b82d6' title 'train'");
  }
  if (!curve.held_out.empty()) {
    out += block("held", curve.held_out);
    plot("$held with linespoints linewidth 2 pointtype 7 pointsize 0.5 linecolor '#d9730d' title 'validation'");
  }
  if (curve.bigram > 0)
    plot(fmt::format("{:.6g} with lines linewidth 1.5 dashtype 2 linecolor '#767676' title 'bigram model'",
                     curve.bigram));
  if (plots.empty()) throw Error("a loss curve has no points");
  return out + plots + "\n";
}

void require_gnuplot() {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0)
    throw Error("a loss curve is drawn by gnuplot, which is not installed (Debian's package gnuplot-nox)");
}

void write_curve(const std::string& path, const Curve& curve) {
  const detail::ScratchFolder scratch;
  const std::string svg = scratch.path() + "/curve.svg";
  std::string text;
  if (run_gnuplot(gnuplot_script(curve), svg)) text = read_file(svg);
  if (text.find("</svg>") == std::string::npos)
    throw Error(fmt::format("cannot draw the loss curve into {}: gnuplot failed", path));
  write_file(path, text);
}

}  // namespace rw::cli
