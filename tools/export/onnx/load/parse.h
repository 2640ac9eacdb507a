#pragma once

// Internal to tools/export/.

#include <string>
#include <utility>
#include <vector>

#include <rewind/tools/export/onnx/load/graph.h>

namespace rw::detail::load {

/// A file's graph and its weights.
struct Parsed {
  File file;
  std::vector<Array> weights = {};
};

/// Throws Error for what load_onnx refuses.
Parsed parse(const std::string& bytes);

}  // namespace rw::detail::load
