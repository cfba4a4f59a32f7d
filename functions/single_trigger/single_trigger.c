/* Casts one message to "out" when it starts, and again for every empty message it gets.
 * init-payload: delay_ms=MILLISECONDS (0), message=TEXT (empty). */
#define EDGELESS_FUNCTION_NAME "single_trigger"
#include "edgeless_text.h"

static edgeless_text kept;

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    edgeless_text message = edgeless_argument(payload, TEXT("message"), TEXT(""));
    char *copy = edgeless_keep(message.size);
    __builtin_memcpy(copy, message.data, message.size);
    kept = (edgeless_text){copy, message.size};
    edgeless_text delay = edgeless_argument(payload, TEXT("delay_ms"), TEXT(""));
    edgeless_delayed_cast(edgeless_parse_u64(delay, 0), TEXT("self"), TEXT(""));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    if (message.size == 0) {
        edgeless_cast(TEXT("out"), kept);
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) {}
