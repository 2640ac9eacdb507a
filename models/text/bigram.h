#pragma once

#include <rewind/models/text/data.h>

namespace rw {

/// Loss in nats per character, on the held-out chunks, of the bigram model counted on the training chunks: what a
/// recurrent network has to beat. A pair's probability is its count smoothed with the single characters' (a Dirichlet
/// prior: (count(a, b) + k p(b)) / (count(a) + k), MacKay and Peto, 1995), and k is the best of a grid for the held-out
/// text itself, so that the figure flatters the bigram model if anything. Throws Error when nothing is held out.
double bigram_loss(const TextData& data, Index vocabulary);

}  // namespace rw
