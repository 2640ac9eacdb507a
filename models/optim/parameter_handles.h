#pragma once

#include <memory>
#include <span>
#include <vector>

#include <rewind/models/module.h>

namespace rw::detail {

/// Parameters as an optimizer keeps them: each once, by names that differ, with a share in their storage, so that
/// modules may move, and even end, before it.
class ParameterHandles {
 public:
  /// A parameter that comes twice counts once; of two with one name (of two modules), the second is "W#2".
  explicit ParameterHandles(std::span<const NamedParameter> parameters);

  const std::vector<NamedParameter>& all() const { return all_; }

 private:
  std::vector<std::unique_ptr<Parameter>> own_;
  std::vector<NamedParameter> all_;
};

}  // namespace rw::detail
