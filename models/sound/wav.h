#pragma once

#include <string>

#include <rewind/core/array.h>

namespace rw {

/// Sound as a file has it.
struct Sound {
  /// f32 [T, channels].
  Array samples;
  /// Samples a second of each channel.
  Index rate = 0;
};

/// Reads a WAV file (RIFF; IBM and Microsoft, 1991): PCM of 8, 16, 24 or 32 bits, whose samples are from -1 to 1, and
/// floats of 32 or 64, which stay as they are; the extensible form too. Chunks of other names are skipped. Throws Error
/// that names the path and what is wrong with the file.
Sound read_wav(const std::string& path);

}  // namespace rw
