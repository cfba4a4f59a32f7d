/* Traps on demand: "trap" is an unreachable instruction, "oob" hands the host a pointer outside the
 * memory, "div" divides by zero. Any other message goes to "out", and back to who called.
 * init-payload: "trap" traps at once. */
#define EDGELESS_FUNCTION_NAME "trap"
#include "edgeless_text.h"

/* Volatile, so that the compiler cannot know that both are zero. */
static volatile int32_t dividend;
static volatile int32_t divisor;

static void obey(edgeless_text message) {
    if (edgeless_equal(message, TEXT("trap"))) {
        __builtin_trap();
    }
    if (edgeless_equal(message, TEXT("oob"))) {
        edgeless_cast(TEXT("out"), (edgeless_text){(const char *)0xfffffff0u, 4096});
    }
    if (edgeless_equal(message, TEXT("div"))) {
        dividend = dividend / divisor;
    }
    edgeless_cast(TEXT("out"), message);
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    if (edgeless_equal(payload, TEXT("trap"))) {
        __builtin_trap();
    }
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    obey(message);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    obey(message);
    return edgeless_reply(message);
}

static void handle_stop(void) {}
