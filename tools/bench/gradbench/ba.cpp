// Bundle adjustment: how far each observed feature is from where its camera projects its point, times a weight, and how
// far each weight is from 1. The Jacobian is sparse: an observation depends on one camera, one point and one weight.

#include <algorithm>
#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"
#include "plain.h"

namespace rw::bench::gradbench {
namespace {

constexpr Index camera_numbers = 11;  // rotation 3, centre 3, focal length, principal point 2, distortion 2

/// The board repeats one camera, point, weight and feature.
struct Scene {
  Index n = 0, m = 0, p = 0;
  Numbers camera, point, feature;
  double weight = 0;

  explicit Scene(const json& in)
      : n(in.at("n").get<Index>()),
        m(in.at("m").get<Index>()),
        p(in.at("p").get<Index>()),
        camera(in.at("cam").get<Numbers>()),
        point(in.at("x").get<Numbers>()),
        feature(in.at("feat").get<Numbers>()),
        weight(in.at("w").get<double>()) {}

  std::int32_t camera_of(Index i) const { return static_cast<std::int32_t>(i % n); }
  std::int32_t point_of(Index i) const { return static_cast<std::int32_t>(i % m); }
};

Array repeated(const Numbers& row, Index times) {
  Numbers all;
  for (Index i = 0; i < times; ++i) all.insert(all.end(), row.begin(), row.end());
  return Array(all, Shape{times, static_cast<Index>(row.size())});
}

// Each number of a camera, a point or a weight is a row, each observation a column: all of it is arithmetic of whole
// rows.

Tensor cross(Tensor a, Tensor b) {
  const auto [a0, a1, a2] = split<3>(a, 0);
  const auto [b0, b1, b2] = split<3>(b, 0);
  return concat({a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0}, 0);
}

// Points [3, p], each turned by its own angle and axis [3, p] (Rodrigues' formula; to first order at no angle).
Tensor rotated(Tensor rotation, Tensor x) {
  const Tensor squared = sum(square(rotation), 0, true), turns = squared > 0;
  const Tensor angle = sqrt(where(turns, squared, 1)), axis = rotation / angle, c = cos(angle);
  const Tensor along = sum(axis * x, 0, true) * (1 - c);
  return where(turns, x * c + cross(axis, x) * sin(angle) + axis * along, x + cross(rotation, x));
}

// Of each observation [p, 2], by its camera [11, p], point [3, p] and weight [1, p].
Tensor reprojection(Tensor cameras, Tensor points, Tensor weights, Tensor features) {
  const std::vector<Tensor> camera = split(cameras, {3, 3, 1, 2, 2}, 0);
  const Tensor seen = rotated(camera[0], points - camera[1]);
  const Tensor flat = slice(seen, 0, 0, 2) / slice(seen, 0, 2, 1);
  const auto [k1, k2] = split<2>(camera[4], 0);
  const Tensor r = sum(square(flat), 0, true);
  const Tensor projected = flat * (1 + k1 * r + k2 * r * r) * camera[2] + camera[3];
  return transpose(weights * (projected - transpose(features)));
}

Tensor weight_errors(Tensor weights) { return 1 - square(weights); }

struct Observed {
  Tensor cameras, points, weights, features;
};

Observed observed(const std::vector<Tensor>& at) {
  return {transpose(lookup(at[3], at[0])), transpose(lookup(at[4], at[1])), reshape(at[5], {1, at[5].size()}), at[2]};
}

// Of both errors of each of p observations, by what it looks up: 15 numbers of its own.
SparsityPattern own_pattern(Index observations) {
  const auto p = static_cast<std::uint32_t>(observations);
  SparsityPattern own{2 * p, (camera_numbers + 4) * p, {}};
  for (std::uint32_t i = 0; i < p; ++i) {
    std::vector<std::uint32_t> row;
    for (std::uint32_t k = 0; k < camera_numbers + 4; ++k) row.push_back(k * p + i);
    own.of_row.insert(own.of_row.end(), 2, row);
  }
  return own;
}

// The elements of the Jacobian row by row. No two rows share a column of `own` but the two errors of an observation, so
// that two pullbacks give all of them.
Tensor jacobian_elements(const Observed& o, const SparsityPattern& own) {
  const auto errors = [&](Tensor camera, Tensor point, Tensor w) { return reprojection(camera, point, w, o.features); };
  const auto of_weights = [](Tensor w) { return sum(weight_errors(w)); };  // each on its own weight
  const SparseJacobian j = sparse_jacobian(errors, std::tuple(o.cameras, o.points, o.weights), own, Direction::rows);
  return concat({j.values, value_and_grad(of_weights, reshape(o.weights, {o.weights.size()})).second});
}

SparsityPattern pattern_of(const Scene& s) {
  SparsityPattern out{3 * s.p, camera_numbers * s.n + 3 * s.m + s.p, {}};
  const auto weight = [&](Index i) { return static_cast<std::uint32_t>(camera_numbers * s.n + 3 * s.m + i); };
  for (Index i = 0; i < s.p; ++i) {
    std::vector<std::uint32_t> row;
    for (Index k = 0; k < camera_numbers; ++k)
      row.push_back(static_cast<std::uint32_t>(camera_numbers * s.camera_of(i) + k));
    for (Index k = 0; k < 3; ++k)
      row.push_back(static_cast<std::uint32_t>(camera_numbers * s.n + 3 * s.point_of(i) + k));
    row.push_back(weight(i));
    out.of_row.push_back(row);
    out.of_row.push_back(row);
  }
  for (Index i = 0; i < s.p; ++i) out.of_row.push_back({weight(i)});
  return out;
}

json objective_shape(const Numbers& reprojection, const Numbers& weights) {
  return {
      {"reproj_error", {{"elements", {reprojection.at(0), reprojection.at(1)}}, {"repeated", reprojection.size() / 2}}},
      {"w_err", {{"element", weights.at(0)}, {"repeated", weights.size()}}}};
}

// What the board compares: the elements of the first observation, and the last of all.
json jacobian_shape(const SparsityPattern& pattern, const Numbers& values) {
  std::vector<std::size_t> rows{0}, columns;
  for (const auto& row : pattern.of_row) {
    rows.push_back(rows.back() + row.size());
    columns.insert(columns.end(), row.begin(), row.end());
  }
  const auto some = [](const auto& all) {
    const std::size_t first = std::min<std::size_t>(2 * (camera_numbers + 4), all.size());
    auto out = std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first));
    out.push_back(all.back());
    return out;
  };
  return {{"rows", some(rows)}, {"cols", some(columns)}, {"vals", some(values)}};
}

json plain_objective(const Scene& s) {
  Numbers reprojection(static_cast<std::size_t>(2 * s.p)), weights(static_cast<std::size_t>(s.p));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    plain_cpp::ba_error(s.camera.data(), s.point.data(), s.weight, s.feature.data(), &reprojection[2 * i]);
    weights[i] = 1 - s.weight * s.weight;
  }
  return objective_shape(reprojection, weights);
}

}  // namespace

Work ba_by_observations(const json& input, ObservationDerivatives derivatives) {
  return plain([s = Scene(input), pattern = pattern_of(Scene(input)), derivatives = std::move(derivatives)] {
    constexpr std::size_t n = camera_numbers + 4;
    Numbers x = s.camera, values;
    x.insert(x.end(), s.point.begin(), s.point.end());
    x.push_back(s.weight);
    values.resize(pattern.entries());
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.p); ++i)
      derivatives(x.data(), s.feature.data(), &values[2 * n * i]);
    std::fill(values.end() - static_cast<std::ptrdiff_t>(s.p), values.end(), -2 * s.weight);
    return jacobian_shape(pattern, values);
  });
}

Eval ba_eval() {
  return {
      "ba", {"objective", "jacobian"}, [](std::string_view function, const json& input, Engine engine) -> Work {
        const Scene s(input);
        if (engine == Engine::plain && function == "objective") return plain([s] { return plain_objective(s); });
        if ((function != "objective" && function != "jacobian") || engine == Engine::plain) no_function("ba", function);
        std::vector<std::int32_t> camera_of, point_of;
        for (Index i = 0; i < s.p; ++i) camera_of.push_back(s.camera_of(i)), point_of.push_back(s.point_of(i));
        std::vector<Array> arguments = {
            Array(camera_of),        Array(point_of),        repeated(s.feature, s.p),
            repeated(s.camera, s.n), repeated(s.point, s.m), Array(Numbers(static_cast<std::size_t>(s.p), s.weight))};
        if (function == "objective")
          return ours(
              engine,
              [](Tape&, const std::vector<Tensor>& at) {
                const Observed o = observed(at);
                return std::vector<Tensor>{reprojection(o.cameras, o.points, o.weights, o.features),
                                           weight_errors(at[5])};
              },
              std::move(arguments),
              [](const std::vector<Array>& r) {
                return objective_shape(r.at(0).to_vector<double>(), r.at(1).to_vector<double>());
              });
        const SparsityPattern pattern = pattern_of(s);
        return ours(
            engine,
            [own = own_pattern(s.p)](Tape&, const std::vector<Tensor>& at) {
              return std::vector<Tensor>{jacobian_elements(observed(at), own)};
            },
            std::move(arguments),
            [pattern](const std::vector<Array>& r) { return jacobian_shape(pattern, r.at(0).to_vector<double>()); });
      }};
}

}  // namespace rw::bench::gradbench
