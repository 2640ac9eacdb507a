// Hand tracking: a hand's bones are turned by the pose theta, its skin follows them by weights, and the result is how
// far the skin is from observed points; in the fuller form each point lies somewhere (us) in a triangle of the skin.

#include <algorithm>
#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/functions.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"
#include "hand.h"

namespace rw::bench::gradbench {
namespace {

// Which number of theta is each bone's angle, as a matrix that picks it.
Array angle_choice(Index bones, bool about_z) {
  Array choice(Shape{bones, pose_numbers}, DType::f64);
  for (Index bone = 0; bone < bones; ++bone) {
    const BoneAngles of = angles_of(bone);
    const Index number = about_z ? of.z : of.x;
    if (number >= 0) choice.span<double>()[static_cast<std::size_t>(bone * pose_numbers + number)] = 1;
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

Tensor skin(const Hand& h, Tensor theta) {  // [corners * points, 3]
  Tape& tape = theta.tape();
  const Tensor relatives = matmul(tape.constant(h.relatives), bone_turns(h, theta));
  std::vector<Tensor> absolutes;
  for (Index i = 0; i < h.bones(); ++i) {
    const int parent = h.parents[static_cast<std::size_t>(i)];
    const Tensor own = select(relatives, 0, i);
    absolutes.push_back(parent < 0 ? own : matmul(absolutes.at(static_cast<std::size_t>(parent)), own));
  }
  const Tensor transforms = matmul(stack(absolutes), tape.constant(h.inverse_absolutes));
  const Tensor side_by_side = reshape(swap_axes(slice(transforms, 1, 0, 3), 0, 1), {3, 4 * h.bones()});
  Tensor position = matmul(side_by_side, tape.constant(h.rest));
  if (h.mirrored) position = position * tape.constant(Array({-1.0, 1.0, 1.0}, Shape{3, 1}));
  return transpose(matmul(global_turn(theta), position)) + slice(theta, 0, 3, 3);
}

Tensor errors(const Hand& h, Tensor theta, Tensor us) {  // [correspondences, 3]
  const Tensor points = theta.tape().constant(h.points);
  if (h.corners == 1) return points - skin(h, theta);
  const auto [a, b, c] = split<3>(skin(h, theta), 0);
  const auto [u, v] = split<2>(us, 1);
  return points - (u * a + v * b + (1 - u - v) * c);
}

// [3 correspondences, 26], or with us two more columns before: each row depends on the us of its own point alone, so
// one direction serves all points.
Tensor jacobian_of(const Hand& h, Tensor theta, Tensor us) {
  const Index more = h.corners > 1 ? 2 : 0, n = pose_numbers + more, points = h.points.shape()[0];
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

Numbers plain_skin(const Hand& h, const Numbers& theta) {  // [3, corners * points]
  const auto bones = static_cast<std::size_t>(h.bones()), vertices = static_cast<std::size_t>(h.rest.shape()[1]);
  std::vector<Matrix> absolutes(bones);
  Numbers out(3 * vertices);
  for (std::size_t b = 0; b < bones; ++b) {
    const Matrix own = product(matrix_at(h.relatives, b), bone_turn(theta, angles_of(static_cast<Index>(b))));
    absolutes[b] = h.parents[b] < 0 ? own : product(absolutes[static_cast<std::size_t>(h.parents[b])], own);
    const Matrix t = product(absolutes[b], matrix_at(h.inverse_absolutes, b));
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t k = 0; k < 4; ++k) {
        const double* rest = h.rest.span<double>().data() + (4 * b + k) * vertices;
        for (std::size_t v = 0; v < vertices; ++v) out[i * vertices + v] += t[4 * i + k] * rest[v];
      }
  }
  return out;
}

Numbers plain_errors(const Hand& h, const Numbers& theta) {
  Numbers local = plain_skin(h, theta);
  const std::size_t vertices = local.size() / 3, points = static_cast<std::size_t>(h.points.shape()[0]);
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
  const auto vertex = [&](std::size_t v, std::size_t i) {
    double x = theta[3 + i];
    for (std::size_t k = 0; k < 3; ++k) x += turn[i][k] * local[k * vertices + v];
    return x;
  };
  Numbers out = h.points.to_vector<double>();
  for (std::size_t p = 0; p < points; ++p)
    for (std::size_t i = 0; i < 3; ++i) {
      const auto at = [&](std::size_t corner) { return vertex(corner * points + p, i); };
      if (h.corners == 1) {
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
