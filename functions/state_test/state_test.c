/* Tells in its log which state it was started with, and stores a new one when asked to. */
#define EDGELESS_FUNCTION_NAME "state_test"
#include "edgeless_text.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    if (state.data == NULL) {
        edgeless_log(EDGELESS_LOG_INFO, TEXT("no_state"));
    } else {
        edgeless_log_to(EDGELESS_LOG_INFO, TEXT("edgeless_test_state"), state);
    }
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    if (edgeless_equal(message, TEXT("test_cast_raw_output"))) {
        edgeless_sync(TEXT("new_state"));
    } else {
        edgeless_log(EDGELESS_LOG_INFO, TEXT("state_test: not a test"));
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) {}
