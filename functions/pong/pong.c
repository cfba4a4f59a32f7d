/* Replies PONG to every call. */
#define EDGELESS_FUNCTION_NAME "pong"
#include "edgeless_text.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    (void)state;
    edgeless_log(EDGELESS_LOG_INFO, TEXT("pong: started"));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("pong: cast with "), message));
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("pong: called with "), message));
    return edgeless_reply(TEXT("PONG"));
}

static void handle_stop(void) { edgeless_log(EDGELESS_LOG_INFO, TEXT("pong: stopped")); }
