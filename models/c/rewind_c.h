/* Rewind for programs that are not written in C++: librewind.so. Plain C, no exception crosses, and the names and
   layouts here stay what they are within a major version (docs/versions.md).

   Every function returns a code; rw_last_error() has the text that goes with the last one in this thread. Models are
   handles: one that was freed, or never given out, is told apart from one in use, and gives RW_BAD_HANDLE. One model is
   for one thread at a time: a call while another works on it gives RW_BUSY. Arrays are DLPack tensors on the
   processor's memory, read or written in place, with any strides; they stay the caller's. */
#ifndef REWIND_C_H
#define REWIND_C_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RW_API __attribute__((visibility("default")))
#else
#define RW_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What DLPack defines, for those who do not include its header (first). */
#ifndef DLPACK_DLPACK_H_
typedef struct DLDevice {
  int32_t device_type; /* 1: the processor */
  int32_t device_id;
} DLDevice;
typedef struct DLDataType {
  uint8_t code; /* 0: int, 2: float */
  uint8_t bits;
  uint16_t lanes;
} DLDataType;
typedef struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides; /* in elements; null: row-major */
  uint64_t byte_offset;
} DLTensor;
#endif

typedef enum rw_code {
  RW_OK = 0,
  RW_ERROR = 1,        /* anything that went wrong: a file, a shape, a number; see rw_last_error */
  RW_BAD_ARGUMENT = 2, /* a null pointer, a size or type that does not fit */
  RW_BAD_HANDLE = 3,   /* no model, or one that was freed */
  RW_BUSY = 4,         /* another thread works on this model */
  RW_NO_MEMORY = 5
} rw_code;

/* A model of text, as `rewind train` saves it. */
typedef uint64_t rw_model;

typedef struct rw_model_info {
  int64_t vocabulary; /* V: how many different characters it knows */
  int64_t layers, hidden;
  int64_t arrays;     /* of parameters: how many, for rw_parameter_... */
  int64_t parameters; /* numbers in them */
} rw_model_info;

/* "0.2.0". */
RW_API const char* rw_version(void);
/* What the last call in this thread that did not return RW_OK has to say; valid until the next call in this thread. */
RW_API const char* rw_last_error(void);

/* Reads a file of `rewind train`. The model begins with one stream, at its zero state. */
RW_API rw_code rw_model_load(const char* path, rw_model* model);
/* Writes one; what is there is replaced whole, or stays. */
RW_API rw_code rw_model_save(rw_model model, const char* path);
/* Gives it back. The handle is then no model's, for ever. */
RW_API rw_code rw_model_free(rw_model model);
RW_API rw_code rw_model_describe(rw_model model, rw_model_info* info);

/* Characters to their numbers: UTF-8, ended by a zero. Writes at most `room` numbers, and to `count` how many there
   are. `numbers` may be null when room is 0. A character that the model does not know is RW_ERROR. */
RW_API rw_code rw_model_encode(rw_model model, const char* utf8, int32_t* numbers, size_t room, size_t* count);
/* A number to its character: UTF-8 of at most four bytes, and a zero. */
RW_API rw_code rw_model_decode(rw_model model, int32_t number, char utf8[5]);

/* Begins `streams` texts anew, each at the zero state. */
RW_API rw_code rw_model_reset(rw_model model, int64_t streams);
/* Reads one character of each stream, int32 [N], and gives the logits of the next, float32 [N, V]. */
RW_API rw_code rw_model_step(rw_model model, const DLTensor* characters, DLTensor* logits);
/* The same for T steps: int32 [T, N], float32 [T, N, V]. The streams go on from where they are. */
RW_API rw_code rw_model_run(rw_model model, const DLTensor* characters, DLTensor* logits);

/* Sets how rw_model_train learns: "sgd", "momentum", "rmsprop", "adam" or "adamw"; a rate above 0; gradients longer
   than `clip` are shortened to it, 0: never. Without this call: "adam", 0.001, 5. Moments begin at zero. */
RW_API rw_code rw_model_optimizer(rw_model model, const char* name, double rate, double clip);
/* One update with a chunk of N streams, from where they are (truncated back-propagation): characters and those that
   should follow, int32 [T, N]. `loss`, which may be null, is the mean cross-entropy before the update, in nats. */
RW_API rw_code rw_model_train(rw_model model, const DLTensor* characters, const DLTensor* targets, double* loss);
/* The same without the update: gradients are there to be read, and the streams stay where they are. */
RW_API rw_code rw_model_gradients(rw_model model, const DLTensor* characters, const DLTensor* targets, double* loss);

/* Parameters, 0 to `arrays` - 1. The name is valid as long as the model is. */
RW_API rw_code rw_parameter_name(rw_model model, int64_t index, const char** name);
/* Writes at most `room` lengths to `shape`, and to `ndim` how many there are. */
RW_API rw_code rw_parameter_shape(rw_model model, int64_t index, int64_t* shape, int32_t room, int32_t* ndim);
RW_API rw_code rw_parameter_get(rw_model model, int64_t index, DLTensor* values);
RW_API rw_code rw_parameter_set(rw_model model, int64_t index, const DLTensor* values);
/* Of the last rw_model_gradients; zeros before it. */
RW_API rw_code rw_parameter_gradient(rw_model model, int64_t index, DLTensor* values);

#ifdef __cplusplus
}
#endif

#endif
