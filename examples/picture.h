#pragma once

// Pictures that the tasks write, as SVG: grids of grey squares, boxes and words.

#include <algorithm>
#include <fstream>
#include <span>
#include <sstream>
#include <string>

#include <rewind/core/error.h>
#include <rewind/core/shape.h>

namespace rw {

class Drawing {
 public:
  Drawing(Index width, Index height) {
    out_ << "<svg xmlns='http://www.w3.org/2000/svg' width='" << width << "' height='" << height
         << "' font-family='sans-serif' font-size='11'>\n<rect width='100%' height='100%' fill='white'/>\n";
  }

  /// Rows of `cols` numbers as squares with a side of `dot`: 0 is white and 1 black.
  void grid(Index x, Index y, Index dot, std::span<const float> numbers, Index cols) {
    Index i = -1;
    for (const float number : numbers) {
      ++i;
      const int grey = static_cast<int>(255 * (1 - std::clamp(number, 0.0F, 1.0F)));
      if (grey == 255) continue;
      out_ << "<rect x='" << x + i % cols * dot << "' y='" << y + i / cols * dot << "' width='" << dot << "' height='"
           << dot << "' fill='rgb(" << grey << ',' << grey << ',' << grey << ")'/>\n";
    }
  }
  /// Words with their middle at x.
  void text(Index x, Index y, const std::string& words, const char* colour = "black") {
    out_ << "<text x='" << x << "' y='" << y << "' text-anchor='middle' fill='" << colour << "'>" << words
         << "</text>\n";
  }
  void frame(Index x, Index y, Index width, Index height, const char* colour) {
    out_ << "<rect x='" << x << "' y='" << y << "' width='" << width << "' height='" << height
         << "' fill='none' stroke='" << colour << "'/>\n";
  }
  /// Throws Error when it cannot be written.
  void save(const std::string& file) const {
    std::ofstream to(file);
    to << out_.str() << "</svg>\n";
    if (!to.flush()) throw Error("cannot write " + file);
  }

 private:
  std::ostringstream out_;
};

}  // namespace rw
