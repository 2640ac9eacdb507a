#pragma once

// The hand of hand tracking: its bones, its skin, and the points that it is to reach.

#include <array>

#include "evals.h"

namespace rw::bench::gradbench {

constexpr Index pose_numbers = 26;  // rotation 3, translation 3, and 4 angles for each of 5 fingers

struct Hand {
  std::vector<int> parents;
  Array relatives, inverse_absolutes;  // [bones, 4, 4]
  bool mirrored = false;
  Array points;       // [correspondences, 3]
  Index corners = 1;  // of the skin, for each point: one vertex, or the three of a triangle
  Array us;           // [correspondences, 2], or nothing
  // Where the corners' vertices rest, once for each bone and times its weight there: [4 * bones, corners * points]. The
  // skin is one product of the bones' matrices, side by side, with it.
  Array rest;
  Index bones() const { return static_cast<Index>(parents.size()); }
};

/// Throws json::exception for what is no input of ht.
Hand hand_of(const json& input);

/// Which numbers of the pose are a bone's angles about x and z; -1: none. Each finger has four bones, the first of
/// which is stiff, the second turns about both and the others about x. Bone 0 is the wrist.
struct BoneAngles {
  Index x = -1, z = -1;
};
BoneAngles angles_of(Index bone);

/// A 4 x 4 matrix, row by row.
using Matrix = std::array<double, 16>;
Matrix product(const Matrix& a, const Matrix& b);
/// Matrix i of [n, 4, 4].
Matrix matrix_at(const Array& matrices, std::size_t i);
/// How the pose turns a bone about its joint.
Matrix bone_turn(const Numbers& theta, BoneAngles of);

}  // namespace rw::bench::gradbench
