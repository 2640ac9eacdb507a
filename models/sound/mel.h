#pragma once

#include <rewind/autograd/tape.h>

namespace rw {

/// How sound becomes features.
struct MelOptions {
  /// Samples a second.
  Index rate = 16000;
  /// A frame is so many blocks of sound long, and the next one begins a block later.
  Index blocks = 3;
  Index bands = 40;
  /// Hz, where the first band begins and the last one ends.
  double low = 80, high = 7600;
  /// Is added to what a band has, so that silence has a logarithm.
  double floor = 1e-6;
};

/// Log-mel features of sound [T, N, block], cut into blocks that follow each other (of 10 ms, say): [T - blocks + 1, N,
/// bands]. Of each frame, under Hann's window, the powers |X(f)|^2 of its spectrum are added up under triangles that
/// are evenly spaced in mel, 2595 log10(1 + f / 700 Hz) (O'Shaughnessy, 1987), and log(sum + floor) is taken. Made of
/// products of matrices, so it has gradients. Throws Error for sound of another rank or of fewer blocks than a frame
/// has, for frequencies that are not 0 <= low < high <= rate / 2, for a floor that is not above 0, and for so many
/// bands that one has no frequency of a frame's in it.
Tensor log_mel(Tensor sound, const MelOptions& options = {});

/// Mel-frequency cepstral coefficients (Davis and Mermelstein, 1980) of log-mel features [..., T, bands]: the
/// first `coefficients` of their cosine transform (DCT-II, orthonormal), [..., T, coefficients]. Throws Error for
/// features of rank 1, and unless there are 1 to `bands` of them.
Tensor mfcc(Tensor log_mel, Index coefficients = 13);

}  // namespace rw
