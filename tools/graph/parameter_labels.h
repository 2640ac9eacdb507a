#pragma once

#include <algorithm>
#include <map>
#include <string>

#include <rewind/autograd/parameter.h>

namespace rw::detail {

/// What pictures and tables call the parameters on a tape, no two alike: the dotted name that a saved file has too,
/// "layer0.W"; of one that is in no part of a module the name behind its scope; of a second one by the same name,
/// "W#2".
class ParameterLabels {
 public:
  /// `scope` is a path like "encoder/lstm".
  const std::string& of(const Parameter::Data& parameter, std::string scope) {
    const auto [known, fresh] = labels_.try_emplace(&parameter);
    if (!fresh) return known->second;
    std::string name = parameter.name;
    if (name.find('.') == std::string::npos && !scope.empty() && !name.empty()) {
      std::replace(scope.begin(), scope.end(), '/', '.');
      name.insert(0, scope + ".");
    }
    const int use = ++uses_[name];
    if (use > 1) name += "#" + std::to_string(use);
    return known->second = std::move(name);
  }

 private:
  std::map<const Parameter::Data*, std::string> labels_;
  std::map<std::string, int> uses_;
};

}  // namespace rw::detail
