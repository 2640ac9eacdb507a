// Products of small matrices, in registers. core/gemm_small.cpp includes this once for each instruction set, in a
// namespace of its own, with REWIND_TARGET and the vectors Floats and Doubles: hence no include guard.
//
// Every element of the result is summed in an order that depends on k alone (and, for a transposed b, on the width of
// a vector), so it has the same bits in whichever matrix it stands.

// Rows 1 to 4 of a result, `vectors` wide: c = a b, a(i, p) at a[i ai + p ap]. The last vector is cut by the mask.
template <class V, int rows, int vectors>
REWIND_TARGET void tile(Index k, const typename V::T* a, Index ai, Index ap, const typename V::T* b, Index ldb,
                        typename V::T* c, Index ldc, typename V::Mask mask, bool accumulate) {
  typename V::Register sum[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = V::zero();
  }
  for (Index p = 0; p < k; ++p, b += ldb, a += ap) {
    typename V::Register row[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
      row[v] = v + 1 < vectors ? V::load(b + v * V::width) : V::load(b + v * V::width, mask);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const typename V::Register x = V::repeat(a[i * ai]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = V::fma(x, row[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i, c += ldc) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      typename V::T* to = c + v * V::width;
      const bool last = v + 1 == vectors;
      if (accumulate) sum[i][v] = V::add(last ? V::load(to, mask) : V::load(to), sum[i][v]);
      if (last) {
        V::store(to, mask, sum[i][v]);
      } else {
        V::store(to, sum[i][v]);
      }
    }
  }
}

// All rows of a result that is `vectors` wide; the columns of b that it takes stay in cache.
template <class V, int vectors>
REWIND_TARGET void panel(Index m, Index k, const typename V::T* a, Index ai, Index ap, const typename V::T* b,
                         Index ldb, typename V::T* c, Index ldc, typename V::Mask mask, bool accumulate) {
  if constexpr (vectors <= 4) {
    for (; m >= 4; m -= 4, a += 4 * ai, c += 4 * ldc)
      tile<V, 4, vectors>(k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
    if (m == 3) tile<V, 3, vectors>(k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
    if (m == 2) tile<V, 2, vectors>(k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
  }
  if (m == 1) tile<V, 1, vectors>(k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
}

/// c = a b or a' b.
template <class V>
REWIND_TARGET void product(bool ta, Index m, Index n, Index k, const typename V::T* a, Index lda,
                           const typename V::T* b, Index ldb, typename V::T* c, Index ldc, bool accumulate) {
  const Index ai = ta ? 1 : lda, ap = ta ? lda : 1;
  const auto whole = V::mask(V::width);
  for (; m == 1 && n >= 8 * V::width; n -= 8 * V::width, b += 8 * V::width, c += 8 * V::width) {  // more sums at a time
    panel<V, 8>(m, k, a, ai, ap, b, ldb, c, ldc, whole, accumulate);
  }
  for (; n >= 4 * V::width; n -= 4 * V::width, b += 4 * V::width, c += 4 * V::width) {
    panel<V, 4>(m, k, a, ai, ap, b, ldb, c, ldc, whole, accumulate);
  }
  if (n == 0) return;
  const Index vectors = (n + V::width - 1) / V::width;
  const auto mask = V::mask(n - (vectors - 1) * V::width);
  if (vectors == 1) panel<V, 1>(m, k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
  if (vectors == 2) panel<V, 2>(m, k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
  if (vectors == 3) panel<V, 3>(m, k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
  if (vectors == 4) panel<V, 4>(m, k, a, ai, ap, b, ldb, c, ldc, mask, accumulate);
}

// sum(i, j) += the product of a vector of row i of a and one of row j of b, cut by the mask when there is one.
template <class V, int rows, class... Cut>
REWIND_TARGET inline void add_products(typename V::Register (&sum)[rows][4], const typename V::T* a, Index lda,
                                       const typename V::T* const (&b)[4], Index p, Cut... mask) {
  typename V::Register x[4];
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) x[j] = V::load(b[j] + p, mask...);
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    const typename V::Register y = V::load(a + i * lda + p, mask...);
#pragma GCC unroll 8
    for (int j = 0; j < 4; ++j) sum[i][j] = V::fma(y, x[j], sum[i][j]);
  }
}

// Rows of a times 4 rows of b (of which `wanted` count), along k.
template <class V, int rows>
REWIND_TARGET void dots(Index k, const typename V::T* a, Index lda, const typename V::T* b, Index ldb, Index wanted,
                        typename V::T* c, Index ldc, bool accumulate) {
  const typename V::T* from[4];
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) from[j] = b + (j < wanted ? j : wanted - 1) * ldb;
  typename V::Register sum[rows][4];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < 4; ++j) sum[i][j] = V::zero();
  }
  Index p = 0;
  for (; p + V::width <= k; p += V::width) add_products<V, rows>(sum, a, lda, from, p);
  if (p < k) add_products<V, rows>(sum, a, lda, from, p, V::mask(k - p));
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i, c += ldc) {
    typename V::T total[4];
    V::sum4(sum[i], total);
    for (Index j = 0; j < wanted; ++j) c[j] = accumulate ? c[j] + total[j] : total[j];
  }
}

/// c = a b', as dot products of rows.
template <class V>
REWIND_TARGET void product_of_rows(Index m, Index n, Index k, const typename V::T* a, Index lda, const typename V::T* b,
                                   Index ldb, typename V::T* c, Index ldc, bool accumulate) {
  for (Index j = 0; j < n; j += 4) {
    const Index wanted = n - j < 4 ? n - j : 4;
    const typename V::T* bj = b + j * ldb;
    Index i = 0;
    for (; i + 4 <= m; i += 4) dots<V, 4>(k, a + i * lda, lda, bj, ldb, wanted, c + i * ldc + j, ldc, accumulate);
    if (m - i == 3) dots<V, 3>(k, a + i * lda, lda, bj, ldb, wanted, c + i * ldc + j, ldc, accumulate);
    if (m - i == 2) dots<V, 2>(k, a + i * lda, lda, bj, ldb, wanted, c + i * ldc + j, ldc, accumulate);
    if (m - i == 1) dots<V, 1>(k, a + i * lda, lda, bj, ldb, wanted, c + i * ldc + j, ldc, accumulate);
  }
}

template <class V>
REWIND_TARGET void small_product(bool ta, bool tb, Index m, Index n, Index k, const typename V::T* a, Index lda,
                                 const typename V::T* b, Index ldb, typename V::T* c, Index ldc, bool accumulate) {
  if (tb) {
    product_of_rows<V>(m, n, k, a, lda, b, ldb, c, ldc, accumulate);
  } else {
    product<V>(ta, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
  }
}
