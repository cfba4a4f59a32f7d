/*
 * The guest side of the EDGELESS function ABI for C, in one header without a C library.
 *
 * A function defines its name, includes this header and writes four static handlers:
 *
 *     #define EDGELESS_FUNCTION_NAME "shout"
 *     #include "edgeless.h"
 *
 *     static void handle_init(edgeless_text payload, edgeless_text state) { ... }
 *     static void handle_cast(edgeless_source source, edgeless_text message) { ... }
 *     static edgeless_answer handle_call(edgeless_source source, edgeless_text message) { ... }
 *     static void handle_stop(void) { ... }
 *
 * What it is not: a C library. Texts are UTF-8 with a length and no terminator; for numbers and
 * for building texts see edgeless_text.h. A text the host gave, and everything allocated in a
 * handler, is gone when the next event arrives: what has to live on goes into static variables or,
 * from handle_init only, into memory of edgeless_keep().
 */
#ifndef EDGELESS_H
#define EDGELESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef EDGELESS_FUNCTION_NAME
#error "define EDGELESS_FUNCTION_NAME, the target of the function's log entries"
#endif

/* UTF-8 bytes. data is NULL if there is no text at all, which is not the same as an empty one. */
typedef struct {
    const char *data;
    uint32_t size;
} edgeless_text;

#define TEXT(literal) ((edgeless_text){(literal), sizeof(literal) - 1})

/* Who sent an event: two times 16 raw bytes of a UUID, most significant byte first. */
typedef struct {
    const uint8_t *node;
    const uint8_t *component;
} edgeless_source;

/* The codes of a call, for the answer given and for the answer got. */
enum { EDGELESS_NO_REPLY = 0, EDGELESS_REPLY = 1, EDGELESS_ERROR = 2 };

/* text has a meaning with EDGELESS_REPLY only. */
typedef struct {
    int32_t code;
    edgeless_text text;
} edgeless_answer;

typedef enum {
    EDGELESS_LOG_ERROR = 1,
    EDGELESS_LOG_WARN = 2,
    EDGELESS_LOG_INFO = 3,
    EDGELESS_LOG_DEBUG = 4,
    EDGELESS_LOG_TRACE = 5,
} edgeless_level;

static void handle_init(edgeless_text payload, edgeless_text state);
static void handle_cast(edgeless_source source, edgeless_text message);
static edgeless_answer handle_call(edgeless_source source, edgeless_text message);
static void handle_stop(void);

/* ---- What the host offers. A module imports only those it uses. ---- */

#define EDGELESS_IMPORT(name) __attribute__((import_module("env"), import_name(#name))) extern
#define EDGELESS_EXPORT(name) __attribute__((export_name(#name), used))

EDGELESS_IMPORT(cast_asm)
void cast_asm(const char *target, uint32_t target_size, const char *payload, uint32_t payload_size);
EDGELESS_IMPORT(cast_raw_asm)
void cast_raw_asm(const uint8_t *node, const uint8_t *component, const char *payload,
                  uint32_t payload_size);
EDGELESS_IMPORT(call_asm)
int32_t call_asm(const char *target, uint32_t target_size, const char *payload,
                 uint32_t payload_size, const char **reply, uint32_t *reply_size);
EDGELESS_IMPORT(call_raw_asm)
int32_t call_raw_asm(const uint8_t *node, const uint8_t *component, const char *payload,
                     uint32_t payload_size, const char **reply, uint32_t *reply_size);
EDGELESS_IMPORT(delayed_cast_asm)
void delayed_cast_asm(uint64_t delay_ms, const char *target, uint32_t target_size,
                      const char *payload, uint32_t payload_size);
EDGELESS_IMPORT(telemetry_log_asm)
void telemetry_log_asm(uint32_t level, const char *target, uint32_t target_size,
                       const char *message, uint32_t message_size);
EDGELESS_IMPORT(slf_asm)
void slf_asm(uint8_t *node, uint8_t *component);
EDGELESS_IMPORT(sync_asm)
void sync_asm(const char *state, uint32_t state_size);

/* ---- Memory: one stack of allocations, emptied before every event. ----
 *
 * Why not a general allocator: nothing allocated outlives its event, so that emptying is exact,
 * costs two instructions and cannot fragment. The last allocation can be freed, so that a loop of
 * calls within one event does not grow; other frees wait for the next event. The stack begins where
 * the linker says that static data ends and takes further pages when it has to; pages taken are
 * used again. A guest that cannot get memory traps.
 */

#define EDGELESS_PAGE_BYTES 65536u
#define EDGELESS_ALIGNMENT 8u

extern char __heap_base;
static uintptr_t edgeless_memory_base;
static uintptr_t edgeless_memory_top;

static inline uint64_t edgeless_aligned(uint64_t size) {
    return (size + EDGELESS_ALIGNMENT - 1) & ~(uint64_t)(EDGELESS_ALIGNMENT - 1);
}

EDGELESS_EXPORT(edgeless_mem_alloc)
void *edgeless_mem_alloc(uint32_t size) {
    if (edgeless_memory_top == 0) { /* The first allocation of this instance. */
        edgeless_memory_base = edgeless_aligned((uintptr_t)&__heap_base);
        edgeless_memory_top = edgeless_memory_base;
    }
    uintptr_t begin = edgeless_memory_top;
    uint64_t end = begin + edgeless_aligned(size);
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * EDGELESS_PAGE_BYTES;
    if (end > have) {
        uint64_t pages = (end - have + EDGELESS_PAGE_BYTES - 1) / EDGELESS_PAGE_BYTES;
        if (__builtin_wasm_memory_grow(0, (size_t)pages) == (size_t)-1) {
            __builtin_trap();
        }
    }
    edgeless_memory_top = (uintptr_t)end;
    return (void *)begin;
}

EDGELESS_EXPORT(edgeless_mem_free)
void edgeless_mem_free(void *pointer, uint32_t size) {
    uintptr_t begin = (uintptr_t)pointer;
    bool is_last = begin + edgeless_aligned(size) == edgeless_memory_top;
    if (is_last && begin >= edgeless_memory_base) {
        edgeless_memory_top = begin;
    }
}

EDGELESS_EXPORT(edgeless_mem_clear)
void edgeless_mem_clear(void) { edgeless_memory_top = edgeless_memory_base; }

/* Memory that lives as long as the instance. For handle_init only: whatever else is allocated at
 * that moment (the init-payload, the state) stays as well, so that nothing has to be moved. */
static inline void *edgeless_keep(uint32_t size) {
    void *pointer = edgeless_mem_alloc(size);
    edgeless_memory_base = edgeless_memory_top;
    return pointer;
}

/* ---- Sending. Channels are the function's outputs, or "self". ---- */

static inline void edgeless_cast(edgeless_text channel, edgeless_text message) {
    cast_asm(channel.data, channel.size, message.data, message.size);
}

static inline void edgeless_cast_raw(edgeless_source target, edgeless_text message) {
    cast_raw_asm(target.node, target.component, message.data, message.size);
}

static inline void edgeless_delayed_cast(uint64_t delay_ms, edgeless_text channel,
                                         edgeless_text message) {
    delayed_cast_asm(delay_ms, channel.data, channel.size, message.data, message.size);
}

/* Some hosts write the size of a reply as eight bytes, which therefore have to be ours. */
typedef struct {
    const char *data;
    uint32_t size;
    uint32_t spare;
} edgeless_reply_slot;

static inline edgeless_answer edgeless_answer_of(int32_t code, const edgeless_reply_slot *slot) {
    edgeless_answer answer = {code, {NULL, 0}};
    if (code == EDGELESS_REPLY) {
        answer.text = (edgeless_text){slot->data, slot->size};
    }
    return answer;
}

/* Waits for the answer. The text of a reply is the caller's: see edgeless_release(). */
static inline edgeless_answer edgeless_call(edgeless_text channel, edgeless_text message) {
    edgeless_reply_slot slot = {NULL, 0, 0};
    int32_t code = call_asm(channel.data, channel.size, message.data, message.size, &slot.data,
                            &slot.size);
    return edgeless_answer_of(code, &slot);
}

static inline edgeless_answer edgeless_call_raw(edgeless_source target, edgeless_text message) {
    edgeless_reply_slot slot = {NULL, 0, 0};
    int32_t code = call_raw_asm(target.node, target.component, message.data, message.size,
                                &slot.data, &slot.size);
    return edgeless_answer_of(code, &slot);
}

/* Gives the text of a reply back at once; without it, it goes when the next event arrives. */
static inline void edgeless_release(edgeless_answer answer) {
    if (answer.text.data != NULL) {
        edgeless_mem_free((void *)answer.text.data, answer.text.size);
    }
}

/* ---- Observing, and state. ---- */

static inline void edgeless_log_to(edgeless_level level, edgeless_text target,
                                   edgeless_text message) {
    telemetry_log_asm(level, target.data, target.size, message.data, message.size);
}

static inline void edgeless_log(edgeless_level level, edgeless_text message) {
    edgeless_log_to(level, TEXT(EDGELESS_FUNCTION_NAME), message);
}

/* Stores *state*; handle_init gets it when this instance is made anew on the same node. */
static inline void edgeless_sync(edgeless_text state) { sync_asm(state.data, state.size); }

/* Writes the 16 bytes of this instance's node and the 16 bytes of its function id. */
static inline void edgeless_self(uint8_t node[16], uint8_t component[16]) {
    slf_asm(node, component);
}

static inline edgeless_answer edgeless_no_reply(void) {
    return (edgeless_answer){EDGELESS_NO_REPLY, {NULL, 0}};
}

static inline edgeless_answer edgeless_reply(edgeless_text text) {
    return (edgeless_answer){EDGELESS_REPLY, text};
}

static inline edgeless_answer edgeless_error(void) {
    return (edgeless_answer){EDGELESS_ERROR, {NULL, 0}};
}

/* ---- What the host enters. ---- */

EDGELESS_EXPORT(handle_init_asm)
void handle_init_asm(const char *payload, uint32_t payload_size, const char *state,
                     uint32_t state_size) {
    handle_init((edgeless_text){payload, payload_size}, (edgeless_text){state, state_size});
}

EDGELESS_EXPORT(handle_cast_asm)
void handle_cast_asm(const uint8_t *node, const uint8_t *component, const char *payload,
                     uint32_t payload_size) {
    handle_cast((edgeless_source){node, component}, (edgeless_text){payload, payload_size});
}

EDGELESS_EXPORT(handle_call_asm)
int32_t handle_call_asm(const uint8_t *node, const uint8_t *component, const char *payload,
                        uint32_t payload_size, const char **reply, uint32_t *reply_size) {
    edgeless_answer answer = handle_call((edgeless_source){node, component},
                                         (edgeless_text){payload, payload_size});
    if (answer.code == EDGELESS_REPLY) {
        *reply = answer.text.data;
        *reply_size = answer.text.size;
    }
    return answer.code;
}

EDGELESS_EXPORT(handle_stop_asm)
void handle_stop_asm(void) { handle_stop(); }

#endif
