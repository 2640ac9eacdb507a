#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace rw {

/// Replaces a file by these bytes, one part after the other, whole or not at all: they go to a temporary file in the
/// same folder, are flushed to the disk, and the file is renamed, so that a crash or a full disk leaves the old one as
/// it was. A file that is replaced keeps its permissions and, where that is allowed, its owner; of a symbolic link the
/// target is replaced. Any number of processes and threads may write one file: the last one wins, whole. What a process
/// that was killed left behind, .rewind-*.tmp in that folder, is removed by the next that writes there. (What is no
/// regular file, as /dev/stdout, is written to directly.) Throws Error that names the path and the reason.
void write_file(const std::string& path, std::span<const std::string_view> parts);
inline void write_file(const std::string& path, std::string_view bytes) { write_file(path, {&bytes, 1}); }

/// Throws Error unless `write_file` could write there now, as far as that can be told without writing to it; removes
/// what killed processes left in its folder.
void check_writable(const std::string& path);

/// The bytes of a file. Throws Error that names the path and the reason; also for one of more than `most` bytes, so
/// that a device without an end does not take all memory (0: half of what this machine has; of what is no regular file,
/// a pipe or a device, 256 MB at most).
std::string read_file(const std::string& path, std::uint64_t most = 0);

/// Whether both name one file that is there, or would be one if it were made.
bool same_file(const std::string& a, const std::string& b);

}  // namespace rw
