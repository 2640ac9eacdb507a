#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace rw {

/// Replaces a file by these bytes, one part after the other, whole or not at all: they go to a temporary file in the
/// same folder, are flushed to the disk, and the file is renamed, so that a crash or a full disk leaves the old one as
/// it was. (What is no regular file, as /dev/stdout, is written to directly.) Throws Error that names the path and the
/// reason.
void write_file(const std::string& path, std::span<const std::string_view> parts);
inline void write_file(const std::string& path, std::string_view bytes) { write_file(path, {&bytes, 1}); }

/// The bytes of a file. Throws Error that names the path and the reason.
std::string read_file(const std::string& path);

}  // namespace rw
