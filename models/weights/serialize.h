#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/models/module.h>

namespace rw {

struct NamedArray {
  std::string name;
  Array array;
};

/// Numbers somebody else owns, by name.
struct NamedView {
  std::string name;
  ConstView view;

  /// A name and a view.
  NamedView(std::string n, ConstView v) : name(std::move(n)), view(v) {}
  /// A view of a named array.
  NamedView(const NamedArray& a) : name(a.name), view(a.array) {}
};

using Metadata = std::map<std::string, std::string>;

/// What a safetensors file holds: arrays by name, in the order of their data, and text by name.
struct ArrayFile {
  std::vector<NamedArray> arrays;
  Metadata metadata;

  /// Null when there is none of this name.
  const Array* find(const std::string& name) const;
  /// Throws Error when there is none of this name.
  const Array& at(const std::string& name) const;
};

/// Writes a safetensors file (the format of github.com/huggingface/safetensors: any of its readers opens it), whole or
/// not at all: see `write_file`. Throws Error that names the path and the reason; for a name that is given twice or is
/// not UTF-8, too.
void save_arrays(const std::string& path, std::span<const NamedView> arrays, const Metadata& metadata = {});
void save_arrays(const std::string& path, const ArrayFile& file);

/// Reads one: F32, F64 and I32. Throws Error that names the path and says what is wrong when the file cannot be read,
/// is truncated or has bytes left over, is no safetensors file, or holds another element type.
ArrayFile load_arrays(const std::string& path);

/// Writes all parameters under their dotted names; a tied one once.
void save_model(const std::string& path, const Module& module, const Metadata& metadata = {});

/// Sets all parameters from a file and returns its metadata. Reals are converted to each parameter's type. Throws
/// Error, listing every name that is missing, not expected, or has another shape; the module is then as it was.
Metadata load_model(const std::string& path, const Module& module);
/// The same from arrays already in memory; `source` names them in messages.
void set_parameters(const Module& module, std::span<const NamedArray> arrays, const std::string& source);

}  // namespace rw
