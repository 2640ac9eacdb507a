#include "inputs.h"

namespace rw::bench::gradbench {
namespace {

void collect(const json& j, Numbers& into) {
  if (j.is_number()) into.push_back(j.get<double>());
  if (j.is_structured())
    for (const json& part : j) collect(part, into);
}

}  // namespace

json random_list(Rng& rng, std::size_t n, double lo, double hi) {
  Numbers out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(rng.uniform(lo, hi));
  return out;
}

json random_rows(Rng& rng, std::size_t m, std::size_t n, double lo, double hi) {
  json out = json::array();
  for (std::size_t i = 0; i < m; ++i) out.push_back(random_list(rng, n, lo, hi));
  return out;
}

json random_hand(Rng& rng, std::size_t vertices, std::size_t points, bool full) {
  const std::size_t bones = 22;
  json relatives = json::array(), inverse = json::array(), triangles = json::array();
  std::vector<int> parents, found;
  std::vector<std::string> names;
  for (std::size_t b = 0; b < bones; ++b) {
    relatives.push_back(random_rows(rng, 4, 4, -0.6, 0.6));
    inverse.push_back(random_rows(rng, 4, 4, -0.6, 0.6));
    parents.push_back(b == 0 ? -1 : static_cast<int>(b % 4 == 1 ? 0 : b - 1));
    names.emplace_back("bone");
  }
  for (std::size_t i = 0; i + 2 < vertices; ++i) triangles.push_back({i, i + 1, i + 2});
  for (std::size_t i = 0; i < points; ++i) found.push_back(static_cast<int>(rng.below(vertices - 2)));
  return {{"theta", random_list(rng, 26)},
          {"us", full ? random_rows(rng, points, 2, 0, 0.5) : json::array()},
          {"data",
           {{"correspondences", found},
            {"points", random_rows(rng, points, 3)},
            {"model",
             {{"bone_count", bones},
              {"bone_names", names},
              {"parents", parents},
              {"base_relatives", relatives},
              {"inverse_base_absolutes", inverse},
              {"base_positions", random_rows(rng, vertices, 4)},
              {"weights", random_rows(rng, vertices, bones, 0, 0.2)},
              {"triangles", triangles},
              {"is_mirrored", full}}}}}};
}

Numbers numbers_in(const json& output) {
  Numbers out;
  collect(output, out);
  return out;
}

}  // namespace rw::bench::gradbench
