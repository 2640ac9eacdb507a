#pragma once

#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/layers/embedding.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/weights/weight_map.h>

namespace rw {

// Weights of Keras' layers by Keras' names, "kernel" [in, gates * units], "recurrent_kernel" [units, gates * units] and
// "bias", to load and to save; see WeightMap. Prefixes, which differ between its versions, are given to WeightMap::add.
// A cell made with Bias::none is use_bias=False. One with Bias::two gets Keras' bias as its first and 0 as its second,
// and saves the sum; but for a GRU that resets after the product, which has two in Keras as well.

/// SimpleRNN; bias [units].
WeightMap keras_weights(const RnnCell& cell);
/// LSTM; gates i, f, c, o as here; bias [4 * units].
WeightMap keras_weights(const LstmCell& cell);
/// GRU; gates z, r, h, of which z keeps the old state: a cell whose update gate takes the new one gets its weights with
/// the other sign. reset_after=True, bias [2, 3 * units], for a cell with Reset::after (with Bias::one it holds the
/// sum, and loading throws Error unless the recurrent bias of h is 0), else reset_after=False, bias [3 * units].
WeightMap keras_weights(const GruCell& cell);
/// Dense: "kernel" [in, units] and "bias".
WeightMap keras_weights(const Linear& linear);
/// Embedding: "embeddings".
WeightMap keras_weights(const Embedding& embedding);

}  // namespace rw
