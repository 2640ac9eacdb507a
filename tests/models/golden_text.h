#pragma once

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "../paths.h"

namespace rw::test {

// A file of tests/golden: on each line a name and numbers.
inline std::map<std::string, std::vector<double>> golden_text(const std::string& file) {
  std::map<std::string, std::vector<double>> all;
  std::ifstream lines(std::string(source_dir() + "/tests/golden/") + file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double x = 0; words >> x;) all[name].push_back(x);
  }
  return all;
}

}  // namespace rw::test
