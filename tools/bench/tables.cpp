#include "tables.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "report.h"
#include "results.h"

namespace rw::bench {

namespace {

struct Table {
  std::string group;
  int threads = 1;
  std::vector<const Outcome*> lines;
};

std::string group_of(const Outcome& o) { return o.comparison->name.substr(0, o.comparison->name.find('/')); }

std::vector<Table> tables(const std::vector<Outcome>& outcomes) {
  std::vector<Table> out;
  for (const Outcome& o : outcomes) {
    if (o.rows.empty()) continue;
    const std::string group = group_of(o);
    // A step of a small net is in ns, one of a large net in steps a second: a table of its own.
    auto at = std::find_if(out.begin(), out.end(), [&](const Table& t) {
      return t.group == group && t.threads == o.threads && t.lines[0]->comparison->unit == o.comparison->unit;
    });
    if (at == out.end()) at = out.insert(at, Table{group, o.threads, {}});
    at->lines.push_back(&o);
  }
  return out;
}

// "### train, 1 thread, ms" and what all its comparisons have to say.
std::string heading(const Table& t) {
  const Comparison& c = *t.lines[0]->comparison;
  std::string out = fmt::format("### {}, {} thread{}, {}\n\n", t.group, t.threads, t.threads == 1 ? "" : "s", c.unit);
  const bool alike =
      std::all_of(t.lines.begin(), t.lines.end(), [&](const Outcome* o) { return o->comparison->note == c.note; });
  if (!alike || c.note.empty()) return out;
  out += fmt::format("{}.\n\n", c.note);
  const std::size_t first = out.size() - c.note.size() - 3;
  out[first] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[first])));
  return out;
}

std::string line(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) out += cell.empty() ? " |" : " " + cell + " |";
  return out + "\n";
}
std::string rule(std::size_t cells) {
  std::string out = "|";
  for (std::size_t i = 0; i < cells; ++i) out += "---|";
  return out + "\n";
}

std::vector<std::string> contenders_of(const Table& t) {
  std::vector<std::string> out;
  for (const Outcome* o : t.lines)
    for (const Row& row : o->rows)
      if (std::find(out.begin(), out.end(), row.name) == out.end()) out.push_back(row.name);
  return out;
}

struct Ratio {
  const char *ours, *theirs, *title;

  std::optional<double> of(const Outcome& o) const {
    const Row *a = row_of(o, ours), *b = row_of(o, theirs);
    if (a == nullptr || b == nullptr) return std::nullopt;
    return a->median() / b->median();
  }
};

constexpr Ratio ratios[] = {
    {"Rewind eager", "libtorch composed", "eager / libtorch composed"},
    {"Rewind compiled", "oneDNN primitive", "compiled / oneDNN"},
    {"Rewind compiled", "libtorch nn", "compiled / libtorch nn"},
    {"Rewind compiled, bf16", "oneDNN primitive, bf16", "bf16: compiled / oneDNN"},
    {"Rewind eager", "libtorch", "eager / libtorch"},
    {"Rewind eager", "the function alone, plain C++", "eager / function"},
    {"Rewind compiled", "the function alone, plain C++", "compiled / function"},
    {"Rewind gemm", "dnnl_sgemm", "time, gemm / dnnl_sgemm"},
};

// At most two that somebody in the table has.
std::vector<Ratio> ratios_of(const Table& t) {
  std::vector<Ratio> out;
  for (const Ratio& r : ratios)
    if (out.size() < 2 && std::any_of(t.lines.begin(), t.lines.end(), [&](const Outcome* o) { return r.of(*o); }))
      out.push_back(r);
  return out;
}

std::string plain_table(const Table& t) {
  const std::vector<std::string> names = contenders_of(t);
  const std::vector<Ratio> compared = ratios_of(t);
  std::vector<std::string> head{""};
  head.insert(head.end(), names.begin(), names.end());
  for (const Ratio& r : compared) head.emplace_back(r.title);
  std::string out = line(head) + rule(head.size());
  for (const Outcome* o : t.lines) {
    std::vector<std::string> cells{o->comparison->name.substr(t.group.size() + 1)};
    for (const std::string& name : names) {
      const Row* row = row_of(*o, name);
      cells.push_back(row == nullptr ? ""
                                     : fmt::format("{} ({})", number(o->shown(*row, row->median())), spread(*o, *row)));
    }
    for (const Ratio& r : compared) {
      const std::optional<double> ratio = r.of(*o);
      cells.push_back(ratio ? fmt::format("{:.3f}", *ratio) : "");
    }
    out += line(cells);
  }
  return out;
}

// Each with one thread and with several: "NAME, 1 thread" and "NAME, 2 threads".
std::string table_of_pairs(const Table& t) {
  std::vector<std::string> names;
  for (const std::string& name : contenders_of(t)) {
    const std::string before = name.substr(0, name.rfind(','));
    if (std::find(names.begin(), names.end(), before) == names.end()) names.push_back(before);
  }
  std::vector<std::string> head{""};
  head.insert(head.end(), names.begin(), names.end());
  std::string out = line(head) + rule(head.size());
  for (const Outcome* o : t.lines) {
    std::vector<std::string> cells{o->comparison->name.substr(t.group.size() + 1)};
    for (const std::string& name : names) {
      const Row *one = row_of(*o, name + ", 1 thread"),
                *all = row_of(*o, fmt::format("{}, {} threads", name, t.threads));
      if (one == nullptr || all == nullptr)
        cells.emplace_back();
      else
        cells.push_back(fmt::format("{} to {}: {:.2f}", number(o->shown(*one, one->median())),
                                    number(o->shown(*all, all->median())), all->median() / one->median()));
    }
    out += line(cells);
  }
  return out;
}

std::string slopes(const std::vector<Series>& all) {
  std::string out;
  for (const Series& s : all)
    for (const Curve& c : s.curves) {
      if (c.x.size() < 3) continue;
      out += line(
          {s.title(), c.name, fmt::format("{:.2f}", fitted_slope(c.x, c.y)), fmt::format("{:.2f}", upper_slope(c))});
    }
  if (out.empty()) return out;
  return "### How cost grows\n\nThe exponent of the power law that fits best, over all sizes and over the upper "
         "half.\n\n" +
         line({"", "", "all sizes", "upper half"}) + rule(4) + out;
}

}  // namespace

std::string markdown(const std::vector<Outcome>& outcomes) {
  std::string out;
  for (const Table& t : tables(outcomes))
    out += heading(t) + (t.lines[0]->comparison->pairs ? table_of_pairs(t) : plain_table(t)) + "\n";
  return out + slopes(series(outcomes));
}

}  // namespace rw::bench
