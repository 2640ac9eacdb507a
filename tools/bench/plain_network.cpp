// What a careful student writes: loops in plain C++ over rows of contiguous numbers, in the order that vectorises, the
// gradient worked out by hand, everything allocated once. Compiled with -O3 -march=native.

#include <algorithm>
#include <cmath>

#include "recurrent.h"

namespace rw::bench {

namespace {

using Numbers = std::vector<float>;

// c[m, n] += a[m, k] b[k, n]
void add_product(Index m, Index n, Index k, const float* a, const float* b, float* c) {
  for (Index i = 0; i < m; ++i)
    for (Index l = 0; l < k; ++l) {
      const float x = a[i * k + l];
      for (Index j = 0; j < n; ++j) c[i * n + j] += x * b[l * n + j];
    }
}
// c[k, n] += a'[k, m] b[m, n]
void add_product_ta(Index m, Index n, Index k, const float* a, const float* b, float* c) {
  for (Index i = 0; i < m; ++i)
    for (Index l = 0; l < k; ++l) {
      const float x = a[i * k + l];
      for (Index j = 0; j < n; ++j) c[l * n + j] += x * b[i * n + j];
    }
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

class Loops : public Network {
 public:
  Loops(const Problem& p, const Inputs& inputs)
      : p_(p),
        G_(gates_of(p.cell) * p.H),
        NH_(p.N * p.H),
        NG_(p.N * G_),
        x_(numbers(inputs.x)),
        W_(numbers(inputs.layers[0].W)),
        R_(numbers(inputs.layers[0].R)),
        b_(numbers(inputs.layers[0].b)) {
    h_.resize(size((p.T + 1) * NH_)), c_.resize(h_.size()), z_.resize(size(p.T * NG_)), hr_.resize(z_.size());
    dz_.resize(size(NG_)), dhr_.resize(size(NG_)), dh_.resize(size(NH_)), dc_.resize(size(NH_)), Rt_.resize(R_.size());
    dW_.resize(W_.size()), dR_.resize(R_.size()), db_.resize(b_.size());
  }

  void run() override {
    for (Index t = 0; t < p_.T; ++t) forward(t);
    float loss = 0;
    for (std::size_t i = size(NH_); i < h_.size(); ++i) loss += h_[i];
    loss_ = loss;
    if (!p_.train) return;
    for (Numbers* d : {&dW_, &dR_, &db_, &dh_, &dc_}) std::fill(d->begin(), d->end(), 0.0f);
    for (Index i = 0; i < p_.H; ++i)
      for (Index j = 0; j < G_; ++j) Rt_[size(j * p_.H + i)] = R_[size(i * G_ + j)];
    for (Index t = p_.T; t-- > 0;) backward(t);
  }

  Result result() override {
    Result out{{"h", sample(&h_[size(p_.T * NH_)], NH_)}};
    if (!p_.train) return out;
    const auto add = [&](const char* name, const Numbers& d) {
      out.push_back({name, sample(d.data(), static_cast<Index>(d.size()))});
    };
    add("gradient of W", dW_), add("gradient of R", dR_), add("gradient of b", db_);
    return out;
  }

 private:
  static std::size_t size(Index n) { return static_cast<std::size_t>(n); }
  static Numbers numbers(const Array& a) { return a.to_vector<float>(); }

  void forward(Index t) {
    float *z = &z_[size(t * NG_)], *hr = &hr_[size(t * NG_)];
    for (Index n = 0; n < p_.N; ++n) std::copy(b_.begin(), b_.end(), z + n * G_);
    add_product(p_.N, G_, p_.I, &x_[size(t * p_.N * p_.I)], W_.data(), z);
    if (p_.cell == Cell::gru) std::fill_n(hr, NG_, 0.0f);
    add_product(p_.N, G_, p_.H, &h_[size(t * NH_)], R_.data(), p_.cell == Cell::gru ? hr : z);
    for (Index n = 0; n < p_.N; ++n)
      cell(z + n * G_, hr + n * G_, &h_[size(t * NH_ + n * p_.H)], &c_[size(t * NH_ + n * p_.H)]);
  }

  // One sequence's step: z becomes the gates; the new h and c are a batch further on.
  void cell(float* z, const float* hr, const float* h, const float* c) {
    const Index H = p_.H;
    float *next_h = const_cast<float*>(h) + NH_, *next_c = const_cast<float*>(c) + NH_;
    for (Index j = 0; j < H; ++j) {
      if (p_.cell == Cell::rnn) {
        next_h[j] = std::tanh(z[j]);
      } else if (p_.cell == Cell::gru) {
        z[j] = sigmoid(z[j] + hr[j]), z[H + j] = sigmoid(z[H + j] + hr[H + j]);
        z[2 * H + j] = std::tanh(z[2 * H + j] + z[j] * hr[2 * H + j]);
        next_h[j] = z[2 * H + j] + z[H + j] * (h[j] - z[2 * H + j]);
      } else {
        z[j] = sigmoid(z[j]), z[H + j] = sigmoid(z[H + j]), z[2 * H + j] = std::tanh(z[2 * H + j]);
        z[3 * H + j] = sigmoid(z[3 * H + j]);
        next_c[j] = z[H + j] * c[j] + z[j] * z[2 * H + j];
        next_h[j] = z[3 * H + j] * std::tanh(next_c[j]);
      }
    }
  }

  void backward(Index t) {
    for (float& d : dh_) d += 1;  // of the loss
    for (Index n = 0; n < p_.N; ++n)
      cell_backward(&z_[size(t * NG_ + n * G_)], &hr_[size(t * NG_ + n * G_)], &h_[size(t * NH_ + n * p_.H)],
                    &c_[size(t * NH_ + n * p_.H)], n);
    const Numbers& d = p_.cell == Cell::gru ? dhr_ : dz_;
    for (Index n = 0; n < p_.N; ++n)
      for (Index j = 0; j < G_; ++j) db_[size(j)] += dz_[size(n * G_ + j)];
    add_product_ta(p_.N, G_, p_.I, &x_[size(t * p_.N * p_.I)], dz_.data(), dW_.data());
    add_product_ta(p_.N, G_, p_.H, &h_[size(t * NH_)], d.data(), dR_.data());
    add_product(p_.N, p_.H, G_, d.data(), Rt_.data(), dh_.data());
  }

  // From dh (and dc) to dz (and, for a GRU, to the gradient of h R); dh becomes what flows past the products.
  void cell_backward(const float* z, const float* hr, const float* h, const float* c, Index n) {
    const Index H = p_.H;
    float *dh = &dh_[size(n * H)], *dc = &dc_[size(n * H)], *dz = &dz_[size(n * G_)], *dhr = &dhr_[size(n * G_)];
    for (Index j = 0; j < H; ++j) {
      if (p_.cell == Cell::rnn) {
        dz[j] = dh[j] * (1 - h[NH_ + j] * h[NH_ + j]), dh[j] = 0;
      } else if (p_.cell == Cell::gru) {
        const float r = z[j], u = z[H + j], m = z[2 * H + j];
        const float dm = dh[j] * (1 - u) * (1 - m * m), du = dh[j] * (h[j] - m);
        dz[2 * H + j] = dm, dhr[2 * H + j] = dm * r;
        dz[j] = dhr[j] = dm * hr[2 * H + j] * r * (1 - r);
        dz[H + j] = dhr[H + j] = du * u * (1 - u);
        dh[j] *= u;
      } else {
        const float i = z[j], f = z[H + j], g = z[2 * H + j], o = z[3 * H + j], y = std::tanh(c[NH_ + j]);
        const float d = dc[j] + dh[j] * o * (1 - y * y);
        dz[j] = d * g * i * (1 - i), dz[H + j] = d * c[j] * f * (1 - f), dz[2 * H + j] = d * i * (1 - g * g);
        dz[3 * H + j] = dh[j] * y * o * (1 - o);
        dc[j] = d * f, dh[j] = 0;
      }
    }
  }

  Problem p_;
  Index G_, NH_, NG_;
  Numbers x_, W_, R_, b_;
  Numbers h_, c_, z_, hr_;  // of all steps
  Numbers dz_, dhr_, dh_, dc_, Rt_, dW_, dR_, db_;
  volatile float loss_ = 0;
};

}  // namespace

std::unique_ptr<Network> plain_loops(const Problem& p, const Inputs& inputs) {
  if ((p.cell != Cell::lstm && p.cell != Cell::gru && p.cell != Cell::rnn) || p.layers > 1 || p.both_ways)
    return nullptr;
  if (p.gradient_of_x) return nullptr;
  return std::make_unique<Loops>(p, inputs);
}

}  // namespace rw::bench
