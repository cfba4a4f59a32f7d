/* Logs every event it gets and does nothing else: the smallest function there is. So that it stays
 * below 1 kB, it is compiled for size, writes its lines without edgeless_text.h, and shares what
 * it does with numbers and pointers: texts as arguments would be copied for every call. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#define EDGELESS_FUNCTION_NAME "noop"
#include "edgeless.h"

#define SHARED static __attribute__((noinline))
#define CHARACTERS(literal) (literal), sizeof(literal) - 1

/* Returns where the next text goes. */
SHARED char *put(char *end, const char *data, uint32_t size) {
    __builtin_memcpy(end, data, size);
    return end + size;
}

/* A label, then 16 raw bytes in the form 8-4-4-4-12, lower case. */
SHARED char *put_uuid(char *end, const char *label, uint32_t size, const uint8_t *bytes) {
    enum { DASHES_BEFORE = 1 << 8 | 1 << 12 | 1 << 16 | 1 << 20 };
    end = put(end, label, size);
    for (uint32_t i = 0; i < 32; i++) {
        if (DASHES_BEFORE >> i & 1) {
            *end++ = '-';
        }
        *end++ = "0123456789abcdef"[bytes[i / 2] >> (~i & 1) * 4 & 15];
    }
    return end;
}

SHARED void log_line(const char *line, const char *end) {
    edgeless_log(EDGELESS_LOG_INFO, (edgeless_text){line, (uint32_t)(end - line)});
}

/* *what* is "casted" or "called": as long as each other. */
SHARED void log_event(const char *what, const uint8_t *node, const uint8_t *component,
                      const char *message, uint32_t size) {
    enum { BESIDE_MESSAGE = 128 };
    char *line = edgeless_mem_alloc(BESIDE_MESSAGE + size);
    char *end = put(line, what, sizeof("Noop called") - 1);
    end = put_uuid(end, CHARACTERS(", node "), node);
    end = put_uuid(end, CHARACTERS(", function "), component);
    end = put(end, CHARACTERS(", MSG: "));
    log_line(line, put(end, message, size));
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    const edgeless_text before = TEXT("Noop initialized, payload: ");
    char *line = edgeless_mem_alloc(before.size + payload.size);
    log_line(line, put(put(line, before.data, before.size), payload.data, payload.size));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    log_event("Noop casted", source.node, source.component, message.data, message.size);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    log_event("Noop called", source.node, source.component, message.data, message.size);
    return edgeless_no_reply();
}

static void handle_stop(void) {
    const edgeless_text line = TEXT("Noop stopped");
    log_line(line.data, line.data + line.size);
}

#pragma clang attribute pop
