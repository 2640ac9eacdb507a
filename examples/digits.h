#pragma once

// Digits drawn by a shaky hand: the tasks' own, so that none are fetched.

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <rewind/core/random.h>
#include <rewind/core/shape.h>

namespace rw {

constexpr Index digit_size = 12;

struct Point {
  double x, y;
};

/// Lines from point to point in a square of 1, y down.
inline const std::vector<Point>& strokes_of(Index digit) {
  static const std::vector<Point> strokes[] = {
      {{.5, 0}, {.8, .15}, {.85, .5}, {.8, .85}, {.5, 1}, {.2, .85}, {.15, .5}, {.2, .15}, {.5, 0}},
      {{.25, .25}, {.55, 0}, {.55, 1}},
      {{.15, .25}, {.4, 0}, {.75, .1}, {.75, .4}, {.15, 1}, {.85, 1}},
      {{.15, .1}, {.6, 0}, {.8, .25}, {.45, .48}, {.85, .7}, {.6, 1}, {.15, .9}},
      {{.65, 1}, {.65, 0}, {.1, .65}, {.9, .65}},
      {{.8, 0}, {.25, 0}, {.2, .45}, {.6, .4}, {.85, .7}, {.6, 1}, {.15, .9}},
      {{.7, 0}, {.3, .3}, {.15, .75}, {.5, 1}, {.85, .75}, {.55, .5}, {.2, .65}},
      {{.1, 0}, {.9, 0}, {.4, 1}},
      {{.5, .48}, {.2, .25}, {.5, 0}, {.8, .25}, {.5, .48}, {.15, .75}, {.5, 1}, {.85, .75}, {.5, .48}},
      {{.8, .35}, {.5, .5}, {.2, .25}, {.5, 0}, {.85, .25}, {.75, .65}, {.45, 1}}};
  return strokes[digit];
}

/// The square of the distance from a point to the line between two.
inline double square_distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
  const double along = square > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / square, 0.0, 1.0) : 0;
  const double x = p.x - a.x - along * dx, y = p.y - a.y - along * dy;
  return x * x + y * y;
}

/// `side` rows of as many pixels, 0 to 1: slanted, stretched and shaken as it comes, with a pen of some width.
inline std::vector<float> draw_digit(Index digit, Rng& rng, Index side = digit_size) {
  const auto size = static_cast<double>(side);
  const double slant = rng.uniform(-0.25, 0.25), pen = size * rng.uniform(0.05, 0.09),
               width = size * rng.uniform(0.42, 0.58), height = size * rng.uniform(0.58, 0.71);
  std::vector<Point> line;
  for (const Point& p : strokes_of(digit)) {
    const double x = p.x - 0.5 + 0.05 * rng.normal(), y = p.y - 0.5 + 0.05 * rng.normal();
    line.push_back({size / 2 + width * (x - slant * y), size / 2 + height * y});
  }
  std::vector<float> pixels;
  for (Index i = 0; i < side * side; ++i) {
    const Point p{static_cast<double>(i % side) + 0.5, static_cast<double>(i / side) + 0.5};
    double nearest = size * size;
    for (std::size_t k = 1; k < line.size(); ++k) nearest = std::min(nearest, square_distance(p, line[k - 1], line[k]));
    pixels.push_back(static_cast<float>(std::clamp(pen + 0.5 - std::sqrt(nearest), 0.0, 1.0)));
  }
  return pixels;
}

}  // namespace rw
