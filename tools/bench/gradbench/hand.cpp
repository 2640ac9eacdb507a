#include "hand.h"

#include <algorithm>
#include <cmath>

namespace rw::bench::gradbench {
namespace {

Array stacked(const json& matrices) {
  Numbers all;
  for (const json& m : matrices)
    for (double e : flat(m)) all.push_back(e);
  return Array(all, Shape{static_cast<Index>(matrices.size()), 4, 4});
}
// The vertices of a hand's skin that the points are compared with: of each point the first, then the second, ...
std::vector<std::size_t> corners_of(const json& data, bool full) {
  std::vector<std::size_t> out;
  for (std::size_t corner = 0; corner < (full ? 3 : 1); ++corner)
    for (const json& found : data.at("correspondences"))
      out.push_back(full ? data.at("model").at("triangles").at(found.get<std::size_t>()).at(corner).get<std::size_t>()
                         : found.get<std::size_t>());
  return out;
}

}  // namespace

Hand hand_of(const json& input) {
  const json &data = input.at("data"), &model = data.at("model"), &us = input.at("us");
  Hand h{model.at("parents").get<std::vector<int>>(),
         stacked(model.at("base_relatives")),
         stacked(model.at("inverse_base_absolutes")),
         model.at("is_mirrored").get<bool>(),
         matrix_of(data.at("points")),
         us.empty() ? 1 : 3,
         Array(Shape{0, 2}, DType::f64),
         {}};
  const std::vector<std::size_t> corners = corners_of(data, !us.empty());
  Numbers rest;
  for (std::size_t bone = 0; bone < h.parents.size(); ++bone)
    for (std::size_t k = 0; k < 4; ++k)
      for (const std::size_t v : corners)
        rest.push_back(model.at("weights").at(v).at(bone).get<double>() *
                       model.at("base_positions").at(v).at(k).get<double>());
  h.rest = Array(rest, Shape{4 * h.bones(), static_cast<Index>(corners.size())});
  if (!us.empty())
    h.us = us.at(0).is_array() ? matrix_of(us) : Array(us.get<Numbers>(), Shape{static_cast<Index>(us.size() / 2), 2});
  return h;
}

BoneAngles angles_of(Index bone) {
  const Index finger = (bone - 2) / 4, joint = (bone - 2) % 4, first = 6 + 4 * finger;
  if (bone < 2 || finger >= 5 || joint == 3) return {};
  if (joint == 0) return {first, first + 1};
  return {first + joint + 1, -1};
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t j = 0; j < 4; ++j) c[4 * i + j] += a[4 * i + k] * b[4 * k + j];
  return c;
}

Matrix matrix_at(const Array& matrices, std::size_t i) {
  Matrix m;
  std::copy_n(matrices.span<double>().data() + 16 * i, 16, m.begin());
  return m;
}

Matrix bone_turn(const Numbers& theta, BoneAngles of) {
  const double x = of.x < 0 ? 0 : theta[static_cast<std::size_t>(of.x)];
  const double z = of.z < 0 ? 0 : theta[static_cast<std::size_t>(of.z)];
  const double sx = std::sin(x), cx = std::cos(x), sz = std::sin(z), cz = std::cos(z);
  return {cz, -sz * cx, sz * sx, 0, sz, cz * cx, -cz * sx, 0, 0, sx, cx, 0, 0, 0, 0, 1};
}

}  // namespace rw::bench::gradbench
