// Derivatives written by hand, as a careful person writes them.

#include <cmath>

#include <rewind/tools/bench/gradbench/hand.h>

#include "gradbench_peers.h"

namespace rw::bench {
namespace {

using gradbench::angles_of, gradbench::bone_turn, gradbench::matrix_at, gradbench::product;
using gradbench::BoneAngles, gradbench::Hand, gradbench::Matrix;
using gradbench::json;
using gradbench::Numbers;
using gradbench::Work;

// Where a point stands after the turn by angle and axis, and its 3 x 3 derivatives by the point and by the rotation.
struct Turned {
  double x[3], by_point[3][3], by_rotation[3][3];
};

Turned turned(const double* rotation, const double* x) {
  Turned out{};
  const double squared = rotation[0] * rotation[0] + rotation[1] * rotation[1] + rotation[2] * rotation[2];
  const bool turns = squared > 0;
  const double angle = turns ? std::sqrt(squared) : 1, c = turns ? std::cos(angle) : 1, s = turns ? std::sin(angle) : 1;
  const double a[3] = {rotation[0] / angle, rotation[1] / angle, rotation[2] / angle};
  const double dot = a[0] * x[0] + a[1] * x[1] + a[2] * x[2], d = turns ? 1 - c : 0;
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    const double cross = a[j] * x[k] - a[k] * x[j];
    out.x[i] = x[i] * c + cross * s + a[i] * dot * d;
    for (int n = 0; n < 3; ++n) out.by_point[i][n] = a[i] * a[n] * d + (n == i ? c : n == j ? -a[k] * s : a[j] * s);
    for (int n = 0; n < 3; ++n) {
      // The axis' derivative by rotation number n; the angle's is a[n].
      double da[3];
      for (int e = 0; e < 3; ++e) da[e] = ((e == n ? 1 : 0) - (turns ? a[e] * a[n] : 0)) / angle;
      const double slope = da[0] * x[0] + da[1] * x[1] + da[2] * x[2];
      double by = (da[j] * x[k] - da[k] * x[j]) * s + (da[i] * dot + a[i] * slope) * d;
      if (turns) by += a[n] * (cross * c - x[i] * s + a[i] * dot * s);
      out.by_rotation[i][n] = by;
    }
  }
  return out;
}

// Of one observation of bundle adjustment: see plain_cpp::ba_error.
void observation(const double* at, const double* feature, double* rows) {
  const double *centre = at + 3, *distortion = at + 9, focal = at[6], weight = at[14];
  const double moved[3] = {at[11] - centre[0], at[12] - centre[1], at[13] - centre[2]};
  const Turned t = turned(at, moved);
  const double flat[2] = {t.x[0] / t.x[2], t.x[1] / t.x[2]}, r = flat[0] * flat[0] + flat[1] * flat[1];
  const double scale = 1 + distortion[0] * r + distortion[1] * r * r, bend = distortion[0] + 2 * distortion[1] * r;
  const auto along = [&](const double(&by)[3][3], int n, double* to) {  // both errors by one number of t.x
    double d[2];
    for (int e = 0; e < 2; ++e) d[e] = (by[e][n] - flat[e] * by[2][n]) / t.x[2];
    const double dr = 2 * (flat[0] * d[0] + flat[1] * d[1]);
    for (int e = 0; e < 2; ++e) to[15 * e] = weight * focal * (d[e] * scale + flat[e] * bend * dr);
  };
  for (int n = 0; n < 3; ++n) {
    along(t.by_rotation, n, rows + n);
    along(t.by_point, n, rows + 11 + n);
    for (int e = 0; e < 2; ++e) rows[15 * e + 3 + n] = -rows[15 * e + 11 + n];
  }
  for (int e = 0; e < 2; ++e) {
    double* row = rows + 15 * e;
    row[6] = weight * flat[e] * scale;
    row[7] = e == 0 ? weight : 0;
    row[8] = e == 1 ? weight : 0;
    row[9] = weight * flat[e] * focal * r;
    row[10] = row[9] * r;
    row[14] = flat[e] * scale * focal + at[7 + e] - feature[e];
  }
}

// Where a bone's matrix moves a vertex, by the bone's part of it: added to `to`.
void add_moved(const Hand& h, const Matrix& bone, std::size_t b, std::size_t vertex, double part, double* to) {
  const auto vertices = static_cast<std::size_t>(h.rest.shape()[1]);
  const double* rest = h.rest.span<double>().data() + 4 * b * vertices + vertex;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t k = 0; k < 4; ++k) to[i] += part * bone[4 * i + k] * rest[k * vertices];
}

// Matrices of bones, and what one angle of the pose changes of them: of the bone that it turns and those that hang on
// it.
struct BoneChange {
  Index number;  // of theta
  std::vector<std::pair<std::size_t, Matrix>> bones;
};
struct Skeleton {
  std::vector<Matrix> bones;
  std::vector<BoneChange> changes;
};

// The derivative of bone_turn by its angle about x, or z.
Matrix turn_slope(const Numbers& theta, BoneAngles of, bool about_z) {
  const double x = of.x < 0 ? 0 : theta[static_cast<std::size_t>(of.x)];
  const double z = of.z < 0 ? 0 : theta[static_cast<std::size_t>(of.z)];
  const double sx = std::sin(x), cx = std::cos(x), sz = std::sin(z), cz = std::cos(z);
  if (about_z) return {-sz, -cz * cx, cz * sx, 0, cz, -sz * cx, sz * sx, 0};
  return {0, sz * sx, sz * cx, 0, 0, -cz * sx, -cz * cx, 0, 0, cx, -sx, 0};
}

Skeleton skeleton(const Hand& h, const Numbers& theta) {
  const auto count = static_cast<std::size_t>(h.bones());
  const auto parent = [&](std::size_t b) { return static_cast<std::size_t>(h.parents[b]); };
  std::vector<Matrix> own(count), joints(count), absolutes(count);  // joints: where a bone turns
  Skeleton out;
  for (std::size_t b = 0; b < count; ++b) {
    own[b] = product(matrix_at(h.relatives, b), bone_turn(theta, angles_of(static_cast<Index>(b))));
    joints[b] = matrix_at(h.relatives, b);
    if (h.parents[b] >= 0) joints[b] = product(absolutes[parent(b)], joints[b]);
    absolutes[b] = h.parents[b] < 0 ? own[b] : product(absolutes[parent(b)], own[b]);
    out.bones.push_back(product(absolutes[b], matrix_at(h.inverse_absolutes, b)));
  }
  for (std::size_t b = 0; b < count; ++b) {
    const BoneAngles of = angles_of(static_cast<Index>(b));
    for (const bool about_z : {false, true}) {
      if ((about_z ? of.z : of.x) < 0) continue;
      std::vector<std::optional<Matrix>> slopes(count);
      slopes[b] = product(joints[b], turn_slope(theta, of, about_z));
      BoneChange change{about_z ? of.z : of.x, {}};
      for (std::size_t c = b; c < count; ++c) {
        if (c > b && h.parents[c] >= 0 && slopes[parent(c)]) slopes[c] = product(*slopes[parent(c)], own[c]);
        if (slopes[c]) change.bones.emplace_back(c, product(*slopes[c], matrix_at(h.inverse_absolutes, c)));
      }
      out.changes.push_back(std::move(change));
    }
  }
  return out;
}

// Three rows of hand tracking's Jacobian: how far a point of the skin is from its observation, by us where there are,
// and theta.
void point_rows(const Hand& h, const Numbers& theta, const Skeleton& s, std::size_t p, double* rows, std::size_t n) {
  const bool full = h.corners > 1;
  const double u = full ? h.us.span<double>()[2 * p] : 1, v = full ? h.us.span<double>()[2 * p + 1] : 0;
  const double parts[3] = {u, v, 1 - u - v};
  double corners[3][3] = {}, rest[3] = {};
  const auto vertex = [&](std::size_t corner) { return corner * static_cast<std::size_t>(h.points.shape()[0]) + p; };
  const auto mirror = [&](double* x) { x[0] = h.mirrored ? -x[0] : x[0]; };
  for (std::size_t corner = 0; corner < static_cast<std::size_t>(h.corners); ++corner) {
    for (std::size_t b = 0; b < s.bones.size(); ++b) add_moved(h, s.bones[b], b, vertex(corner), 1, corners[corner]);
    mirror(corners[corner]);
    for (int i = 0; i < 3; ++i) rest[i] += parts[corner] * corners[corner][i];
  }
  const Turned t = turned(theta.data(), rest);
  const auto set = [&](std::size_t column, const double* along) {  // the skin moves along this before it is turned
    for (std::size_t i = 0; i < 3; ++i)
      rows[i * n + column] = -(t.by_point[i][0] * along[0] + t.by_point[i][1] * along[1] + t.by_point[i][2] * along[2]);
  };
  const std::size_t first = full ? 2 : 0;
  for (std::size_t e = 0; e < first; ++e) {
    double along[3];
    for (int i = 0; i < 3; ++i) along[i] = corners[e][i] - corners[2][i];
    set(e, along);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t k = 0; k < 3; ++k) rows[i * n + first + k] = -t.by_rotation[i][k];
    rows[i * n + first + 3 + i] = -1;
  }
  for (const BoneChange& change : s.changes) {
    double along[3] = {};
    for (const auto& [b, slope] : change.bones)
      for (std::size_t corner = 0; corner < static_cast<std::size_t>(h.corners); ++corner)
        add_moved(h, slope, b, vertex(corner), parts[corner], along);
    mirror(along);
    set(first + static_cast<std::size_t>(change.number), along);
  }
}

Work hand_tracking(const json& input) {
  return gradbench::plain([h = gradbench::hand_of(input), theta = input.at("theta").get<Numbers>()] {
    const Index points = h.points.shape()[0], n = gradbench::pose_numbers + (h.corners > 1 ? 2 : 0);
    Array jacobian = zeros(Shape{3 * points, n}, DType::f64);
    const Skeleton s = skeleton(h, theta);
    for (Index p = 0; p < points; ++p)
      point_rows(h, theta, s, static_cast<std::size_t>(p), jacobian.span<double>().data() + 3 * p * n,
                 static_cast<std::size_t>(n));
    return gradbench::rows(jacobian);
  });
}

std::optional<Work> derivative(const std::string& eval, const json& input) {
  if (eval == "ba") return gradbench::ba_by_observations(input, observation);
  if (eval == "ht") return hand_tracking(input);
  return std::nullopt;
}

}  // namespace

Peer by_hand_peer() { return {"by hand, plain C++", "", derivative}; }

}  // namespace rw::bench
