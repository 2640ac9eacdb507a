// Rewind beside what one would use instead, in one process, in turn. See docs/benchmarks.md and tools/benchmark.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "blas.h"
#include "budget.h"
#include "chart.h"
#include "comparisons.h"
#include "options.h"
#include "peak.h"
#include "peers.h"
#include "publish.h"
#include "report.h"
#include "results.h"
#include "settings.h"
#include "tables.h"

namespace rw::bench {

namespace {

volatile std::sig_atomic_t stop = 0;

// The first time: an end after this turn, with files. Then it is the system's again.
void stop_at_a_signal() {
  for (int signal : {SIGINT, SIGTERM})
    std::signal(signal, [](int which) {
      stop = 1;
      std::signal(which, SIG_DFL);
    });
}

std::vector<Comparison> all_comparisons() {
  std::vector<Comparison> all;
  for (const auto part : {overhead_comparisons, gradbench_comparisons, gradbench_eval_comparisons, char_rnn_comparisons,
                          recurrent_comparisons, thread_comparisons, elementwise_comparisons, gemm_comparisons,
                          memory_comparisons, growth_comparisons, cell_comparisons, checkpoint_comparisons,
                          scan_comparisons, lengths_comparisons, transform_comparisons}) {
    std::vector<Comparison> more = part();
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  return all;
}

std::vector<ComparisonRun> chosen(const std::vector<Comparison>& all, const Options& o) {
  const std::regex filter(o.filter);
  std::vector<ComparisonRun> out;
  for (const Comparison& c : all) {
    if (!std::regex_search(c.name, filter) || (o.quick && o.filter == any && !c.quick)) continue;
    const int most = cores();
    if (o.threads > 0) {
      if (!c.only_all_cores || o.threads > 1) out.push_back({&c, o.threads});
      continue;
    }
    if (!c.only_all_cores) out.push_back({&c, 1});
    if ((c.only_all_cores || (c.all_cores && !o.quick)) && most > 1) out.push_back({&c, most});
  }
  if (out.empty()) throw std::invalid_argument("no comparison's name matches " + o.filter);
  sort_by_importance(out);
  return out;
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
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

void write_files(const Options& o, const Results& r) {
  if (o.from.empty()) write(o.json, json(r));
  write(o.markdown, markdown(r.outcomes));
  write(o.svg, ratio_chart(r.outcomes));
  write(growth_path(o.svg), growth_chart(series(r.outcomes)));
  if (o.publish) publish(r, REWIND_SOURCE_DIR);
}

void print(const Machine& m) {
  fmt::print("{}, {} cores; g++ {}; {}; {}; {}\n\n", m.processor, m.cores, m.compiler, m.dnnl,
             m.torch.empty() ? "libtorch was not found (tools/setup bench)" : m.torch,
             m.blas.empty() ? "no OpenBLAS" : m.blas);
}

Outcome not_run(const ComparisonRun& e, const char* why) {
  return {e.comparison, e.threads, {}, {std::string("everybody: ") + why}, {}};
}

/// Runs what fits, the most important first; the outcomes are in the order in which the comparisons are in memory.
std::vector<Outcome> raced(const std::vector<ComparisonRun>& entries, const Options& o) {
  const Stopwatch watch;
  std::vector<double> least;
  for (const ComparisonRun& e : entries) least.push_back(o.quick ? 0 : least_seconds(e));
  std::vector<Outcome> out;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double seconds = share(std::span(least).subspan(i), o.budget - watch.seconds());
    if (stop || seconds <= 0) {
      out.push_back(not_run(entries[i], stop ? "stopped" : "over the budget"));
    } else {
      const Setting setting{entries[i].threads,
                            o.quick,
                            o.text,
                            std::filesystem::read_symlink("/proc/self/exe").string(),
                            o.contenders,
                            o.profile,
                            [] { return stop != 0; }};
      use_threads(setting.threads);
      out.push_back(run(*entries[i].comparison, setting, seconds));
    }
    if (!stop) print(out.back());
  }
  std::stable_sort(out.begin(), out.end(),
                   [&](const Outcome& a, const Outcome& b) { return a.comparison < b.comparison; });
  const auto left_out = std::count_if(out.begin(), out.end(), [](const Outcome& r) { return r.rows.empty(); });
  fmt::print("{} of {} comparisons were run{}; {:.0f} s\n", std::ssize(out) - left_out, out.size(),
             stop ? ", then it was stopped" : "", watch.seconds());
  return out;
}

Results read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error("cannot read " + path);
  return from_json(text.str());
}

int run_all(const Options& o) {
  if (!o.from.empty()) {
    write_files(o, read(o.from));
    return 0;
  }
  const std::vector<Comparison> all = all_comparisons();
  const std::vector<ComparisonRun> entries = chosen(all, o);
  if (o.list) {
    for (const ComparisonRun& e : entries)
      fmt::print("{} [{}] {:.1f} s\n", e.comparison->name, e.threads, least_seconds(e));
    return 0;
  }
  Results results;
  results.date = utc_now(), results.commit = o.commit, results.machine = machine();
  print(results.machine);
  stop_at_a_signal();
  results.outcomes = raced(entries, o);
  for (const Series& s : series(results.outcomes)) print(s);
  write_files(o, results);
  const auto wrong = std::count_if(results.outcomes.begin(), results.outcomes.end(),
                                   [](const Outcome& r) { return !r.error.empty(); });
  if (wrong > 0) fmt::print("{} FAILED\n", wrong);
  return wrong == 0 ? 0 : 1;
}

}  // namespace

}  // namespace rw::bench

int main(int argc, char** argv) {
  using namespace rw::bench;
  try {
    if (const std::optional<int> done = measure_peak(argc, argv)) return *done;
    if (const std::optional<int> done = measure_blas(argc, argv)) return *done;
    const Options options = parsed(argc, argv);
    if (options.help) {
      fmt::print("{}", usage);
      return 0;
    }
    if (!options.list && options.from.empty()) take_best_settings(argv);
    return run_all(options);
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "benchmark: {}\n{}", e.what(), usage);
    return 2;
  } catch (const std::regex_error& e) {
    fmt::print(stderr, "benchmark: not a regular expression: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark: {}\n", e.what());
    return 1;
  }
}
