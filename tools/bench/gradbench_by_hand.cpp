// Derivatives written by hand, as a careful person writes them.

#include <cmath>

#include "gradbench_peers.h"

namespace rw::bench {
namespace {

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

std::optional<Work> derivative(const std::string& eval, const json& input) {
  if (eval == "ba") return gradbench::ba_by_observations(input, observation);
  return std::nullopt;
}

}  // namespace

Peer by_hand_peer() { return {"by hand, plain C++", "", derivative}; }

}  // namespace rw::bench
