#pragma once

// The equations of the cells, once, for any library whose tensors have matmul, sigmoid, tanh and arithmetic. What else
// is needed is in Ops: split<n>(x) along the last axis, piece(x, start, length) of a vector, layer_norm(x, gain) and
// layer_norm(x, gain, bias) over the last axis.

#include <array>

#include "recurrent.h"

namespace rw::bench {

template <class T>
struct CellWeights {
  T W, R, b, extra;
};

template <class T>
struct CellState {
  T h, c;
};

/// The part of a step that depends on the input alone.
template <class Ops, class T>
T project(Cell cell, const T& x, const CellWeights<T>& w, Index H) {
  if (cell == Cell::layer_norm) return Ops::layer_norm(matmul(x, w.W), Ops::piece(w.extra, 0, 4 * H)) + w.b;
  return matmul(x, w.W) + w.b;
}

template <class Ops, class T>
CellState<T> lstm_step(Cell cell, const T& xw, const CellState<T>& s, const CellWeights<T>& w, Index H) {
  T hr = matmul(s.h, w.R);
  if (cell == Cell::layer_norm) hr = Ops::layer_norm(hr, Ops::piece(w.extra, 4 * H, 4 * H));
  auto [i, f, g, o] = Ops::template split<4>(xw + hr);
  if (cell != Cell::peephole) {
    const T c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
    if (cell == Cell::lstm) return {sigmoid(o) * tanh(c), c};
    return {sigmoid(o) * tanh(Ops::layer_norm(c, Ops::piece(w.extra, 8 * H, H), Ops::piece(w.extra, 9 * H, H))), c};
  }
  const auto peep = [&](Index k) { return Ops::piece(w.extra, k * H, H); };
  const T c = sigmoid(f + peep(1) * s.c) * s.c + sigmoid(i + peep(0) * s.c) * tanh(g);
  return {sigmoid(o + peep(2) * c) * tanh(c), c};
}

/// LSTM (Gers et al., 2000), with peepholes (Gers et al., 2002) or layer norm (Ba et al., 2016); GRU (Cho et al., 2014)
/// with reset after the product; tanh RNN (Elman, 1990); MGU (Zhou et al., 2016). `xw` is from `project`.
template <class Ops, class T>
CellState<T> step(Cell cell, const T& xw, const CellState<T>& s, const CellWeights<T>& w, Index H) {
  switch (cell) {
    case Cell::rnn: return {tanh(xw + matmul(s.h, w.R)), s.c};
    case Cell::gru: {
      auto [xr, xz, xn] = Ops::template split<3>(xw);
      auto [hr, hz, hn] = Ops::template split<3>(matmul(s.h, w.R));
      const T z = sigmoid(xz + hz), n = tanh(xn + sigmoid(xr + hr) * hn);
      return {n + z * (s.h - n), s.c};
    }
    case Cell::mgu: {
      auto [zf, zn] = Ops::template split<2>(xw);
      auto [Rf, Rn] = Ops::template split<2>(w.R);
      const T f = sigmoid(zf + matmul(s.h, Rf));
      const T n = tanh(zn + matmul(f * s.h, Rn));
      return {s.h + f * (n - s.h), s.c};
    }
    default: return lstm_step<Ops>(cell, xw, s, w, H);
  }
}

}  // namespace rw::bench
