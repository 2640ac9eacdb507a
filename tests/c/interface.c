/* The C interface, from C: what it promises, and every mistake that it should survive.
   usage: test_c MODEL     a file of `rewind train` */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rewind_c.h>

static int failures = 0;

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      printf("%s:%d: %s\n  last error: %s\n", __FILE__, __LINE__, #condition, rw_last_error()); \
      ++failures; \
    } \
  } while (0)

static DLTensor tensor(void* data, int ndim, int64_t* shape, uint8_t code, uint8_t bits) {
  DLTensor t;
  memset(&t, 0, sizeof t);
  t.data = data;
  t.device.device_type = 1;
  t.ndim = ndim;
  t.dtype.code = code;
  t.dtype.bits = bits;
  t.dtype.lanes = 1;
  t.shape = shape;
  return t;
}

enum { T = 6, N = 2, MOST = 4096 };
static float logits[MOST], again[MOST];
static int32_t characters[T * N], targets[T * N];

static void steps_and_runs_agree(rw_model m, int64_t v) {
  int64_t shape_x[] = {T, N}, shape_y[3], shape_1[] = {N}, shape_v[2];
  DLTensor x = tensor(characters, 2, shape_x, 0, 32), y, x1, y1;
  int t;
  shape_y[0] = T, shape_y[1] = N, shape_y[2] = v, shape_v[0] = N, shape_v[1] = v;
  y = tensor(logits, 3, shape_y, 2, 32);
  CHECK(rw_model_reset(m, N) == RW_OK);
  CHECK(rw_model_run(m, &x, &y) == RW_OK);
  CHECK(rw_model_reset(m, N) == RW_OK);
  for (t = 0; t < T; ++t) {
    x1 = tensor(characters + t * N, 1, shape_1, 0, 32);
    y1 = tensor(again + t * N * v, 2, shape_v, 2, 32);
    CHECK(rw_model_step(m, &x1, &y1) == RW_OK);
  }
  for (t = 0; t < T * N * v; ++t) CHECK(fabsf(logits[t] - again[t]) <= 1e-5f * fmaxf(1, fabsf(logits[t])));
}

static void strides_and_wide_types_are_read(rw_model m, int64_t v) {
  int64_t wide[N * T], shape_x[] = {T, N}, transposed[] = {1, T}, shape_y[3];
  static double numbers[MOST];
  DLTensor x = tensor(wide, 2, shape_x, 0, 64), y;
  int t, n;
  for (t = 0; t < T; ++t)
    for (n = 0; n < N; ++n) wide[n * T + t] = characters[t * N + n];
  x.strides = transposed;
  shape_y[0] = T, shape_y[1] = N, shape_y[2] = v;
  y = tensor(numbers, 3, shape_y, 2, 64);
  CHECK(rw_model_reset(m, N) == RW_OK);
  CHECK(rw_model_run(m, &x, &y) == RW_OK);
  for (t = 0; t < T * N * v; ++t) CHECK(fabs(numbers[t] - logits[t]) == 0);
}

static void it_learns(rw_model m) {
  int64_t shape[] = {T, N}, dims[8];
  DLTensor x = tensor(characters, 2, shape, 0, 32), y = tensor(targets, 2, shape, 0, 32), g;
  double first = 0, loss = 0, norm = 0;
  const char* name = NULL;
  int32_t ndim = 0;
  int i, size = 1;
  float* numbers;
  CHECK(rw_model_reset(m, N) == RW_OK);
  CHECK(rw_model_gradients(m, &x, &y, &first) == RW_OK);
  CHECK(rw_parameter_name(m, 0, &name) == RW_OK && strlen(name) > 0);
  CHECK(rw_parameter_shape(m, 0, dims, 8, &ndim) == RW_OK && ndim > 0);
  for (i = 0; i < ndim; ++i) size *= (int)dims[i];
  numbers = malloc(sizeof(float) * (size_t)size);
  g = tensor(numbers, ndim, dims, 2, 32);
  CHECK(rw_parameter_gradient(m, 0, &g) == RW_OK);
  for (i = 0; i < size; ++i) norm += numbers[i] * numbers[i];
  CHECK(norm > 0);
  CHECK(rw_model_optimizer(m, "adam", 0.01, 5) == RW_OK);
  for (i = 0; i < 60; ++i) {
    CHECK(rw_model_reset(m, N) == RW_OK);
    CHECK(rw_model_train(m, &x, &y, &loss) == RW_OK);
    if (i == 0) CHECK(loss == first);
  }
  CHECK(loss < first / 2);
  CHECK(rw_parameter_get(m, 0, &g) == RW_OK);
  numbers[0] = 0.5f;
  CHECK(rw_parameter_set(m, 0, &g) == RW_OK);
  numbers[0] = 0;
  CHECK(rw_parameter_get(m, 0, &g) == RW_OK && numbers[0] == 0.5f);
  free(numbers);
}

/* Each gives its code and a text, and nothing else happens. */
static void mistakes(rw_model m, int64_t v) {
  int64_t shape[] = {T, N}, wrong[] = {T, N + 1}, none[] = {-1, N}, huge[] = {INT64_MAX, INT64_MAX}, out[3];
  DLTensor x = tensor(characters, 2, shape, 0, 32), y, bad;
  rw_model other = 0;
  rw_model_info info;
  size_t count = 0;
  char utf8[5];
  const char* name;
  out[0] = T, out[1] = N, out[2] = v;
  y = tensor(logits, 3, out, 2, 32);
  CHECK(rw_model_reset(m, N) == RW_OK);
  CHECK(rw_model_load(NULL, &other) == RW_BAD_ARGUMENT);
  CHECK(rw_model_load("x", NULL) == RW_BAD_ARGUMENT);
  CHECK(rw_model_load("/nowhere/at/all", &other) == RW_ERROR && other == 0);
  CHECK(strstr(rw_last_error(), "/nowhere/at/all") != NULL);
  CHECK(rw_model_describe(0, &info) == RW_BAD_HANDLE);
  CHECK(rw_model_describe(m + 1, &info) == RW_BAD_HANDLE);
  CHECK(rw_model_describe(m ^ ((uint64_t)1 << 40), &info) == RW_BAD_HANDLE);
  CHECK(rw_model_describe(m, NULL) == RW_BAD_ARGUMENT);
  CHECK(rw_model_run(m, NULL, &y) == RW_BAD_ARGUMENT);
  CHECK(rw_model_run(m, &x, NULL) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 2, wrong, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 2, none, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 2, huge, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(NULL, 2, shape, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 2, NULL, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, -1, shape, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 1, shape, 0, 32);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 2, shape, 2, 32); /* reals for characters */
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = tensor(characters, 2, shape, 0, 16);
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = x;
  bad.device.device_type = 2;
  CHECK(rw_model_run(m, &bad, &y) == RW_BAD_ARGUMENT);
  bad = y;
  bad.dtype.code = 0;
  CHECK(rw_model_run(m, &x, &bad) == RW_BAD_ARGUMENT);
  bad = tensor(logits, 2, shape, 2, 32);
  CHECK(rw_model_run(m, &x, &bad) == RW_BAD_ARGUMENT);
  characters[3] = (int32_t)v;
  CHECK(rw_model_run(m, &x, &y) == RW_ERROR);
  characters[3] = -1;
  CHECK(rw_model_train(m, &x, &x, NULL) == RW_ERROR);
  characters[3] = 0;
  bad = tensor(targets, 2, wrong, 0, 32);
  CHECK(rw_model_train(m, &x, &bad, NULL) == RW_BAD_ARGUMENT);
  CHECK(rw_model_reset(m, 0) == RW_BAD_ARGUMENT);
  CHECK(rw_model_optimizer(m, "adamant", 0.1, 0) == RW_ERROR);
  CHECK(rw_model_optimizer(m, NULL, 0.1, 0) == RW_BAD_ARGUMENT);
  CHECK(rw_model_optimizer(m, "adam", -1, 0) == RW_ERROR);
  CHECK(rw_model_optimizer(m, "adam", 0.1, -1) == RW_BAD_ARGUMENT);
  CHECK(rw_model_optimizer(m, "adam", 0.1, NAN) == RW_BAD_ARGUMENT);
  CHECK(rw_parameter_name(m, -1, &name) == RW_BAD_ARGUMENT);
  CHECK(rw_parameter_name(m, 1000000, &name) == RW_BAD_ARGUMENT);
  CHECK(rw_parameter_get(m, 0, &x) == RW_BAD_ARGUMENT);
  CHECK(rw_parameter_set(m, 0, &y) == RW_BAD_ARGUMENT);
  CHECK(rw_model_encode(m, "\xff", NULL, 0, &count) == RW_ERROR);
  CHECK(rw_model_encode(m, NULL, NULL, 0, &count) == RW_BAD_ARGUMENT);
  CHECK(rw_model_encode(m, "a", NULL, 1, &count) == RW_BAD_ARGUMENT);
  CHECK(rw_model_decode(m, (int32_t)v, utf8) == RW_BAD_ARGUMENT);
  CHECK(rw_model_save(m, "/nowhere/at/all") == RW_ERROR);
}

static rw_model shared;
static int busy = 0, other_codes = 0;

static void* many_runs(void* unused) {
  int64_t shape[] = {T, N};
  DLTensor x = tensor(characters, 2, shape, 0, 32), y = tensor(targets, 2, shape, 0, 32);
  int i;
  (void)unused;
  for (i = 0; i < 200; ++i) {
    const rw_code code = rw_model_gradients(shared, &x, &y, NULL);
    if (code == RW_BUSY) __atomic_fetch_add(&busy, 1, __ATOMIC_RELAXED);
    if (code != RW_BUSY && code != RW_OK) __atomic_fetch_add(&other_codes, 1, __ATOMIC_RELAXED);
  }
  return NULL;
}

static void two_threads(rw_model m) {
  pthread_t threads[2];
  int i;
  shared = m;
  CHECK(rw_model_reset(m, N) == RW_OK);
  for (i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, many_runs, NULL);
  for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  CHECK(other_codes == 0);
  printf("two threads: %d of 400 calls were told to wait\n", busy);
}

int main(int count, char** words) {
  rw_model m = 0, second = 0;
  rw_model_info info;
  int32_t numbers[16];
  size_t n = 0;
  char utf8[5];
  int i;
  if (count != 2) return 2;
  CHECK(strlen(rw_version()) >= 5);
  CHECK(rw_model_load(words[1], &m) == RW_OK);
  CHECK(rw_model_describe(m, &info) == RW_OK && info.vocabulary > 1 && info.arrays > 0);
  if (failures > 0 || info.vocabulary * T * N > MOST) return 1;
  for (i = 0; i < T * N; ++i) {
    characters[i] = (int32_t)(i * 7 % info.vocabulary);
    targets[i] = (int32_t)((i * 5 + 1) % info.vocabulary);
  }
  CHECK(rw_model_decode(m, 1, utf8) == RW_OK);
  CHECK(rw_model_encode(m, utf8, numbers, 16, &n) == RW_OK && n == 1 && numbers[0] == 1);
  steps_and_runs_agree(m, info.vocabulary);
  strides_and_wide_types_are_read(m, info.vocabulary);
  mistakes(m, info.vocabulary);
  steps_and_runs_agree(m, info.vocabulary);
  it_learns(m);
  two_threads(m);
  CHECK(rw_model_save(m, "c_interface.safetensors") == RW_OK);
  CHECK(rw_model_load("c_interface.safetensors", &second) == RW_OK && second != m);
  CHECK(rw_model_free(second) == RW_OK);
  CHECK(rw_model_free(second) == RW_BAD_HANDLE);
  CHECK(rw_model_load("c_interface.safetensors", &second) == RW_OK);
  CHECK(rw_model_free(m) == RW_OK);
  CHECK(rw_model_describe(m, &info) == RW_BAD_HANDLE);
  CHECK(rw_model_reset(m, 1) == RW_BAD_HANDLE);
  CHECK(rw_model_free(second) == RW_OK);
  remove("c_interface.safetensors");
  if (failures == 0) printf("all well\n");
  return failures > 0;
}
