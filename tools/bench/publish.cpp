#include "publish.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "chart.h"
#include "report.h"
#include "tables.h"

namespace rw::bench {

namespace {

// Of the chart on the front page: with one thread.
constexpr const char* on_the_front_page =
    "^(overhead|gradbench/lstm|char-rnn|train/lstm|train\\+dx/lstm|step/.*I(128|512|1024) )";

struct Highlight {
  const char *comparison, *ours, *theirs, *text;
};
constexpr Highlight highlights[] = {
    {"overhead/backward", "Rewind eager", "libtorch", "an op on 16 floats with its backward, eager; libtorch"},
    {"train/lstm/T50 N64 I256 H256", "Rewind eager", "libtorch composed",
     "LSTM training step, T 50 N 64 H 256, eager; libtorch, the same composed"},
    {"train+dx/lstm/T50 N64 I256 H256", "Rewind compiled", "oneDNN primitive",
     "the same with the gradient of x, compiled; oneDNN's fused primitive"},
};

const Row& needed_row(const Outcome& o, std::string_view name) {
  if (const Row* row = row_of(o, name)) return *row;
  throw std::runtime_error(fmt::format("cannot publish: {} has no row {}", o.comparison->name, name));
}

std::string highlight(const Results& results, const Highlight& h) {
  for (const Outcome& o : results.outcomes)
    if (o.comparison->name == h.comparison && o.threads == 1) {
      const Row &ours = needed_row(o, h.ours), &theirs = needed_row(o, h.theirs);
      const std::string unit = o.comparison->unit.substr(0, o.comparison->unit.find(' '));
      return fmt::format("| {} | {} {} | {} {} | {:.2f} |\n", h.text, number(o.shown(ours, ours.median())), unit,
                         number(o.shown(theirs, theirs.median())), unit, ours.median() / theirs.median());
    }
  throw std::runtime_error(fmt::format("cannot publish: {} was not run", h.comparison));
}

std::string machine_line(const Results& r) {
  const Machine& m = r.machine;
  return fmt::format(
      "{}, {} cores; g++ {}; {}; {}; {}. {}, commit {}. Medians, and the least and the most in brackets.", m.processor,
      m.cores, m.compiler, m.dnnl, m.torch.empty() ? "no libtorch" : m.torch, m.blas.empty() ? "no OpenBLAS" : m.blas,
      r.date.substr(0, 10), r.commit);
}

// What was not run, once a reason.
std::string left_out(const Results& r) {
  std::vector<std::pair<std::string, std::string>> by_reason;  // and the comparisons
  for (const Outcome& o : r.outcomes) {
    if (!o.rows.empty()) continue;
    const std::string why = !o.error.empty() ? o.error : o.absent.empty() ? "no reason" : o.absent[0];
    auto at = std::find_if(by_reason.begin(), by_reason.end(), [&](const auto& p) { return p.first == why; });
    if (at == by_reason.end()) at = by_reason.insert(at, {why, ""});
    at->second += fmt::format("{}`{}` [{}]", at->second.empty() ? "" : ", ", o.comparison->name, o.threads);
  }
  std::string out;
  for (const auto& reason : by_reason) out += fmt::format("Not run ({}): {}.\n\n", reason.first, reason.second);
  return out;
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error("cannot read " + path);
  return text.str();
}

// The place of an entry that begins so, or the end.
std::size_t entry_at(const std::string& section, const std::string& begin) {
  if (section.starts_with(begin)) return 0;
  const std::size_t at = section.find("\n" + begin);
  return at == std::string::npos ? section.size() : at + 1;
}

std::string section(const std::string& page, const std::string& name) {
  const std::string begin = "<!-- " + name + " -->\n", end = "<!-- end of " + name + " -->";
  const std::size_t from = page.find(begin), to = page.find(end);
  if (from == std::string::npos || to == std::string::npos || to < from)
    throw std::runtime_error(fmt::format("the page has no lines '<!-- {0} -->' and '<!-- end of {0} -->'", name));
  return page.substr(from + begin.size(), to - from - begin.size());
}

// A file's name for a processor: its letters and digits.
std::string file_name(const std::string& processor) {
  std::string out;
  for (const char c : processor) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!out.empty() && out.back() != '-')
      out += '-';
  }
  while (out.ends_with('-')) out.pop_back();
  return out;
}

std::string tables(const Results& r) {
  return fmt::format(
             "# {}\n\nMade by `tools/benchmark --publish`. [The page before](../benchmarks.md) says what is compared "
             "and how "
             "numbers are taken.\n\n",
             r.machine.processor) +
         machine_line(r) + "\n\n" + left_out(r) + markdown(r.outcomes);
}

std::vector<Outcome> front_page(const Results& r) {
  const std::regex wanted(on_the_front_page);
  std::vector<Outcome> out;
  for (const Outcome& o : r.outcomes)
    if (o.threads == 1 && std::regex_search(o.comparison->name, wanted)) out.push_back(o);
  return out;
}

}  // namespace

std::string with_entry(const std::string& page, const std::string& name, const Entry& entry) {
  std::string all = section(page, name);
  const std::size_t from = entry_at(all, entry.begin);
  std::size_t to = all.size();
  if (from < all.size()) to = from + 1 + entry_at(all.substr(from + 1), entry.mark);
  all.replace(from, to - from, entry.text);
  const std::string begin = "<!-- " + name + " -->\n";
  const std::size_t at = page.find(begin) + begin.size();
  return page.substr(0, at) + all + page.substr(page.find("<!-- end of " + name));
}

void publish(const Results& r, const std::string& root) {
  std::string rows = fmt::format("**{}**, {}:\n\n| | Rewind | the other | ratio |\n|---|---|---|---|\n",
                                 r.machine.processor, r.date.substr(0, 10));
  for (const Highlight& h : highlights) rows += highlight(r, h);
  const std::string readme = root + "/README.md", page = root + "/docs/benchmarks.md",
                    own = file_name(r.machine.processor) + ".md", folder = root + "/docs/benchmarks",
                    name = "- [" + r.machine.processor + "]";
  const std::string link = fmt::format("{}(benchmarks/{}), {} cores: {}, commit {}\n", name, own, r.machine.cores,
                                       r.date.substr(0, 10), r.commit);
  std::filesystem::create_directories(folder);
  const std::pair<std::string, std::string> files[] = {
      {readme, with_entry(read(readme), "three rows", {"**", "**" + r.machine.processor + "**", rows + "\n"})},
      {page, with_entry(read(page), "tables", {"- [", name, link})},
      {folder + "/" + own, tables(r)},
      {root + "/docs/benchmark.svg", ratio_chart(front_page(r))},
      {root + "/docs/growth.svg", growth_chart(series(r.outcomes))}};
  for (const auto& file : files) {
    if (file.second.empty()) continue;
    std::ofstream out(file.first);
    out << file.second;
    out.close();
    if (!out) throw std::runtime_error("cannot write " + file.first);
    fmt::print("wrote {}\n", file.first);
  }
}

}  // namespace rw::bench
