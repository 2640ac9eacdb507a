// Hand tracking: a hand's bones are turned by the pose theta, its skin follows them by weights, and the result is how
// far the skin is from observed points; in the fuller form each point lies somewhere (us) in a triangle of the skin.

#include <algorithm>
#include <array>
#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/functions.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"

namespace rw::bench::gradbench {
namespace {

constexpr Index pose_numbers = 26;  // rotation 3, translation 3, and 4 angles for each of 5 fingers

struct Hand {
  std::vector<int> parents;
  Array relatives, inverse_absolutes;  // [bones, 4, 4]
  Array positions, weights;            // [4, vertices], [bones, 1, vertices]
  bool mirrored = false;
  Array points;                 // [correspondences, 3]
  std::vector<Array> vertices;  // of each correspondence: one, or the three of a triangle
  Array us;                     // [correspondences, 2], or nothing
  Index bones() const { return static_cast<Index>(parents.size()); }
};

Array stacked(const json& matrices) {
  Numbers all;
  for (const json& m : matrices)
    for (double e : flat(m)) all.push_back(e);
  return Array(all, Shape{static_cast<Index>(matrices.size()), 4, 4});
}
Array turned(const json& rows) {  // transposed
  const Array a = matrix_of(rows);
  Array out(Shape{a.shape()[1], a.shape()[0]}, DType::f64);
  for (Index i = 0; i < a.shape()[0]; ++i)
    for (Index j = 0; j < a.shape()[1]; ++j)
      out.span<double>()[static_cast<std::size_t>(j * a.shape()[0] + i)] =
          a.span<double>()[static_cast<std::size_t>(i * a.shape()[1] + j)];
  return out;
}

Hand hand_of(const json& input) {
  const json &data = input.at("data"), &model = data.at("model");
  Hand h{model.at("parents").get<std::vector<int>>(),
         stacked(model.at("base_relatives")),
         stacked(model.at("inverse_base_absolutes")),
         turned(model.at("base_positions")),
         turned(model.at("weights")),
         model.at("is_mirrored").get<bool>(),
         matrix_of(data.at("points")),
         {},
         Array(Shape{0, 2}, DType::f64)};
  h.weights = h.weights.reshaped({h.bones(), 1, h.weights.shape()[1]});
  const auto found = data.at("correspondences").get<std::vector<std::int32_t>>();
  const json& us = input.at("us");
  if (us.empty()) {
    h.vertices.emplace_back(found);
    return h;
  }
  h.us = us.at(0).is_array() ? matrix_of(us) : Array(us.get<Numbers>(), Shape{static_cast<Index>(us.size() / 2), 2});
  for (std::size_t corner = 0; corner < 3; ++corner) {
    std::vector<std::int32_t> of_each;
    for (std::int32_t triangle : found)
      of_each.push_back(model.at("triangles").at(static_cast<std::size_t>(triangle)).at(corner).get<std::int32_t>());
    h.vertices.emplace_back(of_each);
  }
  return h;
}

// Which number of theta is a bone's angle about x (and z); -1: none. Each finger has four bones, the first of which is
// stiff, the second turns about both and the others about x. Bone 0 is the wrist.
Array angle_choice(Index bones, bool about_z) {
  Array choice(Shape{bones, pose_numbers}, DType::f64);
  for (Index finger = 0; finger < 5; ++finger)
    for (Index joint = 0; joint < 3; ++joint) {
      const Index bone = 2 + 4 * finger + joint, first = 6 + 4 * finger;
      if (bone >= bones || (about_z && joint > 0)) continue;
      const Index number = about_z ? first + 1 : joint == 0 ? first : first + joint + 1;
      choice.span<double>()[static_cast<std::size_t>(bone * pose_numbers + number)] = 1;
    }
  return choice;
}

// A row of matrices [bones, 4].
Tensor row(std::initializer_list<Tensor> elements) { return stack(elements, 1); }

Tensor bone_turns(const Hand& h, Tensor theta) {  // [bones, 4, 4]
  Tape& tape = theta.tape();
  const Tensor column = reshape(theta, {pose_numbers, 1});
  const auto angles = [&](bool about_z) {
    return reshape(matmul(tape.constant(angle_choice(h.bones(), about_z)), column), {h.bones()});
  };
  const Tensor x = angles(false), z = angles(true), zero = tape.constant(0, {h.bones()}), one = zero + 1;
  const Tensor sx = sin(x), cx = cos(x), sz = sin(z), cz = cos(z);
  return stack({row({cz, -sz * cx, sz * sx, zero}), row({sz, cz * cx, -cz * sx, zero}), row({zero, sx, cx, zero}),
                row({zero, zero, zero, one})},
               1);
}

Tensor global_turn(Tensor theta) {  // [3, 3], by angle and axis
  const Tensor r = slice(theta, 0, 0, 3), squared = sum(square(r));
  const Tensor turns = squared >= 1e-8, angle = sqrt(where(turns, squared, 1));
  const auto [x, y, z] = split<3>(r / angle, 0);
  const Tensor s = reshape(sin(angle), {1}), c = reshape(cos(angle), {1}), d = 1 - c;
  const Tensor full = reshape(
      concat({x * x + (1 - x * x) * c, x * y * d - z * s, x * z * d + y * s, x * y * d + z * s, y * y + (1 - y * y) * c,
              y * z * d - x * s, x * z * d - y * s, z * y * d + x * s, z * z + (1 - z * z) * c}),
      {3, 3});
  return where(turns, full, theta.tape().constant(Array({1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0}, Shape{3, 3})));
}

Tensor skin(const Hand& h, Tensor theta) {  // [vertices, 3]
  Tape& tape = theta.tape();
  const Tensor relatives = matmul(tape.constant(h.relatives), bone_turns(h, theta));
  std::vector<Tensor> absolutes;
  for (Index i = 0; i < h.bones(); ++i) {
    const int parent = h.parents[static_cast<std::size_t>(i)];
    const Tensor own = select(relatives, 0, i);
    absolutes.push_back(parent < 0 ? own : matmul(absolutes.at(static_cast<std::size_t>(parent)), own));
  }
  const Tensor transforms = matmul(stack(absolutes), tape.constant(h.inverse_absolutes));
  const Index vertices = h.positions.shape()[1];
  const Tensor moved = matmul(reshape(slice(transforms, 1, 0, 3), {h.bones() * 3, 4}), tape.constant(h.positions));
  Tensor position = sum(reshape(moved, {h.bones(), 3, vertices}) * tape.constant(h.weights), 0);  // [3, vertices]
  if (h.mirrored) position = position * tape.constant(Array({-1.0, 1.0, 1.0}, Shape{3, 1}));
  return transpose(matmul(global_turn(theta), position)) + slice(theta, 0, 3, 3);
}

Tensor errors(const Hand& h, Tensor theta, Tensor us) {  // [correspondences, 3]
  Tape& tape = theta.tape();
  const Tensor vertices = skin(h, theta), points = tape.constant(h.points);
  const auto at = [&](std::size_t corner) { return lookup(vertices, tape.constant(h.vertices[corner])); };
  if (h.vertices.size() == 1) return points - at(0);
  const auto [u, v] = split<2>(us, 1);
  return points - (u * at(0) + v * at(1) + (1 - u - v) * at(2));
}

// [3 correspondences, 26], or with us two more columns before: each row depends on the us of its own point alone, so
// one direction serves all points.
Tensor jacobian_of(const Hand& h, Tensor theta, Tensor us) {
  const bool full = h.vertices.size() > 1;
  const Index more = full ? 2 : 0, n = pose_numbers + more, points = h.points.shape()[0];
  Array along_theta(Shape{n, pose_numbers}, DType::f64), along_us(Shape{n, us.size(0), 2}, DType::f64);
  for (Index i = 0; i < pose_numbers; ++i)
    along_theta.span<double>()[static_cast<std::size_t>((i + more) * pose_numbers + i)] = 1;
  for (Index i = 0; i < more; ++i)
    for (Index k = 0; k < us.size(0); ++k)
      along_us.span<double>()[static_cast<std::size_t>((i * us.size(0) + k) * 2 + i)] = 1;
  const auto f = [&](Tensor t, Tensor u) { return errors(h, t, u); };
  const auto column = [&](Tensor dt, Tensor du) { return jvp(f, std::tuple(theta, us), std::tuple(dt, du)).second; };
  Tape& tape = theta.tape();
  return transpose(reshape(vmap(column)(tape.constant(along_theta), tape.constant(along_us)), {n, 3 * points}));
}

/// A 4 x 4 matrix, row by row.
using Matrix = std::array<double, 16>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t j = 0; j < 4; ++j) c[4 * i + j] += a[4 * i + k] * b[4 * k + j];
  return c;
}

Numbers plain_skin(const Hand& h, const Numbers& theta) {  // [3, vertices]
  const auto bones = static_cast<std::size_t>(h.bones()), vertices = static_cast<std::size_t>(h.positions.shape()[1]);
  const auto matrix = [](const Array& all, std::size_t i) {
    Matrix m;
    std::copy_n(all.span<double>().data() + 16 * i, 16, m.begin());
    return m;
  };
  std::vector<Matrix> absolutes(bones);
  Numbers out(3 * vertices);
  for (std::size_t b = 0; b < bones; ++b) {
    double x = 0, z = 0;
    if (b >= 2 && (b - 2) % 4 < 3 && b < 22) {
      const std::size_t first = 6 + 4 * ((b - 2) / 4), joint = (b - 2) % 4;
      x = theta[joint == 0 ? first : first + joint + 1];
      z = joint == 0 ? theta[first + 1] : 0;
    }
    const double sx = std::sin(x), cx = std::cos(x), sz = std::sin(z), cz = std::cos(z);
    const Matrix turn = {cz, -sz * cx, sz * sx, 0, sz, cz * cx, -cz * sx, 0, 0, sx, cx, 0, 0, 0, 0, 1};
    const Matrix own = product(matrix(h.relatives, b), turn);
    absolutes[b] = h.parents[b] < 0 ? own : product(absolutes[static_cast<std::size_t>(h.parents[b])], own);
    const Matrix t = product(absolutes[b], matrix(h.inverse_absolutes, b));
    const double *base = h.positions.span<double>().data(), *weight = h.weights.span<double>().data() + b * vertices;
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t v = 0; v < vertices; ++v) {
        double moved = 0;
        for (std::size_t k = 0; k < 4; ++k) moved += t[4 * i + k] * base[k * vertices + v];
        out[i * vertices + v] += weight[v] * moved;
      }
  }
  return out;
}

Numbers plain_errors(const Hand& h, const Numbers& theta) {
  Numbers local = plain_skin(h, theta);
  const auto vertices = static_cast<std::size_t>(h.positions.shape()[1]);
  if (h.mirrored)
    for (std::size_t v = 0; v < vertices; ++v) local[v] = -local[v];
  const double angle = std::sqrt(theta[0] * theta[0] + theta[1] * theta[1] + theta[2] * theta[2]);
  double turn[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  if (angle >= 1e-4) {
    const double a[3] = {theta[0] / angle, theta[1] / angle, theta[2] / angle}, s = std::sin(angle),
                 c = std::cos(angle);
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        const std::size_t k = 3 - i - j;
        const double skew = i == j ? 0 : ((j + 3 - i) % 3 == 1 ? -a[k] : a[k]);
        turn[i][j] = a[i] * a[j] * (1 - c) + (i == j ? c : 0) + skew * s;
      }
  }
  const auto vertex = [&](std::int32_t v, std::size_t i) {
    double x = theta[3 + i];
    for (std::size_t k = 0; k < 3; ++k) x += turn[i][k] * local[k * vertices + static_cast<std::size_t>(v)];
    return x;
  };
  Numbers out = h.points.to_vector<double>();
  for (std::size_t p = 0; p < out.size() / 3; ++p)
    for (std::size_t i = 0; i < 3; ++i) {
      const auto at = [&](std::size_t corner) { return vertex(h.vertices[corner].span<std::int32_t>()[p], i); };
      if (h.vertices.size() == 1) {
        out[3 * p + i] -= at(0);
      } else {
        const double u = h.us.span<double>()[2 * p], v = h.us.span<double>()[2 * p + 1];
        out[3 * p + i] -= u * at(0) + v * at(1) + (1 - u - v) * at(2);
      }
    }
  return out;
}

}  // namespace

Eval ht_eval() {
  return {"ht", {"objective", "jacobian"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto h = std::make_shared<Hand>(hand_of(input));
            const auto theta = input.at("theta").get<Numbers>();
            if (engine == Engine::plain && function == "objective")
              return plain([h, theta] { return json(plain_errors(*h, theta)); });
            if ((function != "objective" && function != "jacobian") || engine == Engine::plain)
              no_function("ht", function);
            const Record record = [h, derive = function == "jacobian"](Tape&, const std::vector<Tensor>& at) {
              return std::vector<Tensor>{derive ? jacobian_of(*h, at[0], at[1]) : errors(*h, at[0], at[1])};
            };
            const auto shape = function == "objective" ? std::function<json(const std::vector<Array>&)>(list)
                                                       : [](const std::vector<Array>& r) { return rows(r.at(0)); };
            return ours(engine, record, {vector_of(theta), h->us}, shape);
          }};
}

}  // namespace rw::bench::gradbench
