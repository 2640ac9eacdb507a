#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/curve.h>

using namespace rw;
using namespace rw::cli;

namespace {

Curve some_curve() {
  Curve curve;
  curve.bigram = 2.4;
  for (int i = 0; i < 1000; ++i) curve.train.push_back({i / 100.0, 4 - i / 500.0});
  curve.held_out = {{1, 3}, {10, 2.2}};
  return curve;
}

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "rewind curve's test";
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("many points are thinned by averaging neighbours") {
  const auto points = thinned(some_curve().train, 10);
  REQUIRE(points.size() == 10);
  CHECK(points[0].epoch == doctest::Approx(0.495));
  CHECK(points[9].loss == doctest::Approx(4 - 949.5 / 500));
  CHECK(thinned({{1, 2}}, 10).size() == 1);
}

TEST_CASE("the curve is an SVG with both losses and the bigram model, and leaves nothing else behind") {
  const Folder folder;
  const std::string path = folder.path / "loss.svg";
  write_curve(path, some_curve());
  const std::string svg = read_file(path);
  for (const char* word : {"<svg", "</svg>", ">train<", ">validation<", ">bigram model<", "nats per character"})
    CHECK(svg.find(word) != std::string::npos);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("a curve that cannot be drawn leaves the old file as it was") {
  const Folder folder;
  const std::string path = folder.path / "loss.svg";
  CHECK_THROWS_AS(write_curve(path, Curve{}), Error);
  CHECK_THROWS_AS(write_curve(folder.path / "no" / "loss.svg", some_curve()), Error);
  std::ofstream(path) << "old";
  std::filesystem::create_directory(path + ".d");
  CHECK_THROWS_AS(write_curve(path + ".d", some_curve()), Error);
  CHECK(read_file(path) == "old");
}
