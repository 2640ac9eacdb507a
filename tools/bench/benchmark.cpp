// Rewind beside what one would use instead, in one process, in turn. See README.md here, and tools/benchmark.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <stdexcept>

#include <fmt/format.h>

#include "chart.h"
#include "contests.h"
#include "peers.h"
#include "report.h"
#include "settings.h"

namespace rw::bench {

namespace {

constexpr const char* usage =
    "usage: benchmark [--filter RE] [--budget SECONDS] [--threads N] [--quick] [--list] [--text FILE]\n"
    "                 [--json FILE] [--svg FILE] [--markdown FILE] [--commit TEXT]\n"
    "  --filter RE       contests whose names contain a match, e.g. 'train/lstm' or '^gemm'\n"
    "  --budget SECONDS  about how long it may take (1800); what does not fit is said\n"
    "  --threads N       only with N threads; otherwise with one, and with all cores where that may pay\n"
    "  --quick           one round of each contest that matches the filter, without one of a few small ones: shows "
    "that\n"
    "                    everything works, not how fast it is\n"
    "  --list            the names of the contests\n"
    "  --text FILE       the text for char-rnn; otherwise the project's own sources\n"
    "  --json FILE       everything, with every round\n"
    "  --markdown FILE   tables, one for each group of contests\n"
    "  --svg FILE        ratios, a row a contest; curves of growth go into FILE-growth.svg\n";

constexpr const char* any = ".";

struct Options {
  std::string filter = any, json, svg, markdown, text, commit;
  double budget = 1800;
  int threads = 0;
  bool quick = false, list = false;
};

Options parsed(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) throw std::invalid_argument(arg + " takes a value");
      return argv[++i];
    };
    if (arg == "--filter")
      o.filter = value();
    else if (arg == "--budget")
      o.budget = std::stod(value());
    else if (arg == "--threads")
      o.threads = std::stoi(value());
    else if (arg == "--quick")
      o.quick = true;
    else if (arg == "--list")
      o.list = true;
    else if (arg == "--text")
      o.text = value();
    else if (arg == "--json")
      o.json = value();
    else if (arg == "--svg")
      o.svg = value();
    else if (arg == "--markdown")
      o.markdown = value();
    else if (arg == "--commit")
      o.commit = value();
    else
      throw std::invalid_argument("there is no option " + arg);
  }
  if (o.threads < 0) throw std::invalid_argument("--threads must be at least 1");
  return o;
}

std::vector<Contest> all_contests() {
  std::vector<Contest> all;
  for (const auto part : {overhead_contests, gradbench_contests, char_rnn_contests, recurrent_contests, thread_contests,
                          elementwise_contests, gemm_contests, memory_contests, growth_contests}) {
    std::vector<Contest> more = part();
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  return all;
}

struct Entry {
  const Contest* contest;
  int threads;
};

std::vector<Entry> chosen(const std::vector<Contest>& all, const Options& o) {
  const std::regex filter(o.filter);
  std::vector<Entry> out;
  for (const Contest& c : all) {
    if (!std::regex_search(c.name, filter) || (o.quick && o.filter == any && !c.quick)) continue;
    const int most = cores();
    if (o.threads > 0) {
      if (!c.only_all_cores || o.threads > 1) out.push_back({&c, o.threads});
      continue;
    }
    if (!c.only_all_cores) out.push_back({&c, 1});
    if ((c.only_all_cores || (c.all_cores && !o.quick)) && most > 1) out.push_back({&c, most});
  }
  return out;
}

/// Gives each contest a part of the time that is left.
class Budget {
 public:
  explicit Budget(double seconds) : end_(now() + seconds) {}
  double left() const { return end_ - now(); }
  double share(std::size_t contests) const { return left() / static_cast<double>(contests); }
  /// Whether five runs by half a dozen contenders fit, at 60 GFLOP/s.
  bool has_room_for(const Contest& c) const { return left() > 0 && c.work * 5 * 6 / 6e10 < left(); }

 private:
  static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  double end_;
};

void write(const std::string& path, const std::string& text) {
  if (path.empty() || text.empty()) return;
  std::ofstream file(path);
  file << text << '\n';
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
  fmt::print("wrote {}\n", path);
}

std::string growth_path(const std::string& svg) {
  if (svg.empty()) return {};
  return svg.ends_with(".svg") ? svg.substr(0, svg.size() - 4) + "-growth.svg" : svg + "-growth.svg";
}

void print_machine() {
  const Machine m = machine();
  fmt::print("{}, {} cores; g++ {}; {}; {}; {}\n\n", m.processor, m.cores, m.compiler, m.dnnl,
             m.torch.empty() ? "libtorch was not found (tools/setup bench)" : m.torch,
             m.blas.empty() ? "no OpenBLAS" : m.blas);
}

int run_all(const Options& o) {
  const std::vector<Contest> all = all_contests();
  const std::vector<Entry> entries = chosen(all, o);
  if (entries.empty()) throw std::invalid_argument("no contest's name matches " + o.filter);
  if (o.list) {
    for (const Entry& e : entries) fmt::print("{} [{}]\n", e.contest->name, e.threads);
    return 0;
  }
  print_machine();
  const Budget budget(o.budget);
  std::vector<Outcome> outcomes;
  int wrong = 0, left_out = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Setting setting{entries[i].threads, o.quick, o.text,
                          std::filesystem::read_symlink("/proc/self/exe").string()};
    if (budget.has_room_for(*entries[i].contest)) {
      use_threads(setting.threads);
      outcomes.push_back(run(*entries[i].contest, setting, budget.share(entries.size() - i)));
    } else {
      outcomes.push_back({entries[i].contest, setting.threads, {}, {"everybody: over the budget"}, {}});
      ++left_out;
    }
    print(outcomes.back());
    if (!outcomes.back().error.empty()) ++wrong;
  }
  const std::vector<Series> all_series = series(outcomes);
  for (const Series& s : all_series) print(s);
  write(o.json, json(outcomes, machine(), o.commit));
  write(o.markdown, markdown(outcomes));
  write(o.svg, ratio_chart(outcomes));
  write(growth_path(o.svg), growth_chart(all_series));
  fmt::print("{} contests, {} over the budget, {} failed; {:.0f} s\n", entries.size(), left_out, wrong,
             o.budget - budget.left());
  return wrong == 0 ? 0 : 1;
}

}  // namespace

}  // namespace rw::bench

int main(int argc, char** argv) {
  using namespace rw::bench;
  try {
    if (const std::optional<int> done = measure_peak(argc, argv)) return *done;
    take_best_settings(argv);
    if (argc == 2 && argv[1] == std::string("--help")) {
      fmt::print("{}", usage);
      return 0;
    }
    return run_all(parsed(argc, argv));
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "benchmark: {}\n{}", e.what(), usage);
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark: {}\n", e.what());
    return 1;
  }
}
