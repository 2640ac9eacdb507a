#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/places.h>

namespace rw::cli {
namespace {

namespace fs = std::filesystem;

struct Kind {
  const char* name;
  bool (*fits)(const std::string& head);
};

bool is_safetensors(const std::string& head) {
  std::uint64_t length = 0;
  if (head.size() < 9) return false;
  std::memcpy(&length, head.data(), 8);
  return length <= 100'000'000 && head[8] == '{';
}

bool has(const std::string& head, const char* words) { return head.find(words) != std::string::npos; }

Kind kind_of(FileKind kind) {
  switch (kind) {
    case FileKind::safetensors: return {"safetensors file", is_safetensors};
    case FileKind::svg: return {"SVG file", [](const std::string& head) { return has(head, "<svg"); }};
    case FileKind::png: return {"PNG file", [](const std::string& head) { return head.starts_with("\x89PNG"); }};
    case FileKind::html:
      return {"HTML file", [](const std::string& head) { return has(head, "<!doctype html") || has(head, "<html"); }};
    case FileKind::dot: return {"DOT file", [](const std::string& head) { return has(head, "digraph"); }};
    case FileKind::csv:
      return {"table of rewind flow", [](const std::string& head) { return head.starts_with("cell,quantity,"); }};
    case FileKind::header:
      return {"header of rewind export", [](const std::string& head) { return has(head, "written by Rewind"); }};
    case FileKind::weights:
      return {"file of weights of rewind export", [](const std::string& head) { return head.starts_with("RWWEIGHT"); }};
    case FileKind::onnx:  // the version of its form comes first, then who made it
      return {"ONNX file of rewind export", [](const std::string& head) { return has(head, "rewind"); }};
  }
  return {};
}

bool is_device(const std::string& path) {
  std::error_code none;
  return fs::exists(path, none) && !fs::is_regular_file(path, none) && !fs::is_directory(path, none);
}

std::string head_of(const std::string& path) {
  std::string head(2048, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(in.gcount()));
  return head;
}

void check_kind(const Output& output) {
  std::error_code none;
  if (!fs::is_regular_file(output.path, none)) return;
  const std::string head = head_of(output.path);
  const Kind kind = kind_of(output.kind);
  if (!head.empty() && !kind.fits(head))
    throw Error(output.option + " is " + output.path + ", which is there and is no " + kind.name +
                ": it is not replaced; give another name");
}

void require_apart(const Output& output, const std::string& option, const std::string& path) {
  if (!path.empty() && same_file(output.path, path))
    throw Error(output.option + " is " + output.path + ", which is also " + option + ": give another name");
}

}  // namespace

void check_places(const std::vector<Input>& inputs, const std::vector<Output>& outputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Output& output = outputs[i];
    if (output.path.empty() || is_device(output.path)) continue;
    for (const Input& input : inputs) require_apart(output, input.option, input.path);
    for (std::size_t j = 0; j < i; ++j) require_apart(output, outputs[j].option, outputs[j].path);
    check_kind(output);
    check_writable(output.path);
  }
}

bool lies_beside(const std::string& file, const std::string& path) {
  const auto folder = [](const std::string& p) { return fs::weakly_canonical(fs::absolute(p)).parent_path(); };
  const fs::path outer = folder(file), inner = folder(path);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace rw::cli
