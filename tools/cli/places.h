#pragma once

#include <string>
#include <vector>

namespace rw::cli {

/// What a command writes, by how such a file begins.
enum class FileKind { safetensors, svg, png, html, dot, csv, header, weights, onnx };

/// A file that the command line names. `option` is how it is called there.
struct Input {
  std::string option, path;
};
struct Output {
  std::string option, path;
  FileKind kind;
};

/// Throws Error, before any work is done, for an output that
/// - is one of the inputs, or another output, also by a link or another way to write the path;
/// - would replace a file of another kind, as a text or a model by a picture (an empty one may be replaced);
/// - cannot be written.
/// Empty paths are left out.
void check_places(const std::vector<Input>& inputs, const std::vector<Output>& outputs);

/// Whether `path` lies in the folder of `file`, or further down.
bool lies_beside(const std::string& file, const std::string& path);

}  // namespace rw::cli
