#include "results.h"

#include <algorithm>
#include <ctime>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace rw::bench {

namespace {

nlohmann::json to_json(const Outcome& o) {
  const Comparison& c = *o.comparison;
  nlohmann::json out{{"name", c.name}, {"threads", o.threads}, {"unit", c.unit}, {"scale", c.scale},
                     {"rate", c.rate}, {"pairs", c.pairs},     {"took", o.took}, {"least_seconds", c.seconds}};
  if (!c.note.empty()) out["note"] = c.note;
  if (c.size > 0) out["size"] = c.size, out["series"] = c.series;
  if (!o.error.empty()) out["error"] = o.error;
  if (!o.absent.empty()) out["absent"] = o.absent;
  for (const Row& row : o.rows)
    out["rows"].push_back({{"contender", row.name},
                           {"median", o.shown(row, row.median())},
                           {"least", o.shown(row, row.least())},
                           {"most", o.shown(row, row.most())},
                           {"yardstick", row.yardstick},
                           {"measured", row.measured},
                           {"rounds", row.rounds}});
  return out;
}

Comparison comparison_from(const nlohmann::json& in) {
  Comparison c;
  c.name = in.at("name"), c.unit = in.at("unit");
  c.scale = in.at("scale"), c.rate = in.at("rate"), c.pairs = in.at("pairs");
  c.note = in.value("note", ""), c.size = in.value("size", 0.0), c.series = in.value("series", "");
  return c;
}

Outcome outcome_from(const nlohmann::json& in, const Comparison* comparison) {
  Outcome o;
  o.comparison = comparison;
  o.threads = in.at("threads"), o.took = in.at("took");
  o.error = in.value("error", "");
  if (in.contains("absent")) o.absent = in["absent"].get<std::vector<std::string>>();
  if (in.contains("rows"))
    for (const nlohmann::json& row : in["rows"]) {
      o.rows.push_back({row.at("contender"), row.at("yardstick"), row.at("measured"), row.at("rounds")});
      if (o.rows.back().rounds.empty()) throw std::runtime_error("a row without rounds: " + o.rows.back().name);
    }
  return o;
}

}  // namespace

std::string utc_now() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&t));
  return text;
}

std::string json(const Results& r) {
  const Machine& m = r.machine;
  nlohmann::json out{{"date", r.date},         {"commit", r.commit}, {"processor", m.processor}, {"cores", m.cores},
                     {"compiler", m.compiler}, {"onednn", m.dnnl},   {"torch", m.torch},         {"blas", m.blas}};
  out["comparisons"] = nlohmann::json::array();
  for (const Outcome& o : r.outcomes) out["comparisons"].push_back(to_json(o));
  return out.dump(1);
}

const Row* row_of(const Outcome& o, std::string_view name) {
  const auto at = std::find_if(o.rows.begin(), o.rows.end(), [&](const Row& r) { return r.name == name; });
  return at == o.rows.end() ? nullptr : &*at;
}

Results from_json(const std::string& text) {
  try {
    const nlohmann::json in = nlohmann::json::parse(text);
    Results r;
    r.date = in.at("date"), r.commit = in.at("commit");
    r.machine = {in.at("processor"), in.at("compiler"), in.at("onednn"), in.at("torch"), in.at("blas"), in.at("cores")};
    for (const nlohmann::json& c : in.at("comparisons")) {
      r.comparisons.push_back(comparison_from(c));
      r.outcomes.push_back(outcome_from(c, &r.comparisons.back()));
    }
    return r;
  } catch (const nlohmann::json::exception& e) {
    throw std::runtime_error(std::string("not what --json writes: ") + e.what());
  }
}

}  // namespace rw::bench
