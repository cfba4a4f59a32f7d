/* Casts 1, 2, 3, ... to "output", one a second. The last number is its state and goes on from there
 * when the instance is made anew; without a state it begins at the init-payload, or at 0. */
#define EDGELESS_FUNCTION_NAME "counter"
#include "edgeless_text.h"

#define PERIOD_MS 1000

static bool is_number(edgeless_text text) {
    return text.data != NULL && edgeless_parse_i32(text).error.data == NULL;
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    edgeless_text first = is_number(state) ? state : is_number(payload) ? payload : TEXT("0");
    edgeless_cast(TEXT("self"), first);
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_integer number = edgeless_parse_i32(message);
    if (number.error.data != NULL) {
        edgeless_log(EDGELESS_LOG_ERROR, edgeless_join(TEXT("counter: not a number: "), message));
        return;
    }
    /* Wraps around at 32 bits. */
    edgeless_text next = edgeless_text_of_i32((int32_t)(number.value + 1));
    edgeless_sync(next);
    edgeless_cast(TEXT("output"), next);
    edgeless_delayed_cast(PERIOD_MS, TEXT("self"), next);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) {}
