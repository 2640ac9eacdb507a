#pragma once

#include <string>
#include <vector>

namespace rw::cli {

/// The losses of a run, in nats per character, over epochs (fractions count).
struct Curve {
  struct Point {
    double epoch = 0, loss = 0;
  };
  std::vector<Point> train, held_out;
  /// The bigram model's loss, drawn as a level; 0: none.
  double bigram = 0;
};

/// At most `most` points: neighbours averaged.
std::vector<Curve::Point> thinned(const std::vector<Curve::Point>& points, std::size_t most);

/// What gnuplot is told to draw the curve as SVG on its output, in colours that read on light and on dark paper.
std::string gnuplot_script(const Curve& curve);

/// Throws Error unless gnuplot can be run.
void require_gnuplot();

/// Draws the curve with gnuplot into an SVG file, by way of a temporary file beside it. Throws Error when gnuplot fails
/// or the file cannot be written; the old file is then as it was.
void write_curve(const std::string& path, const Curve& curve);

}  // namespace rw::cli
