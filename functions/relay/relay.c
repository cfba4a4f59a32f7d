/* Hands everything on to "out": casts as casts; calls as calls, with the answer going back. */
#define EDGELESS_FUNCTION_NAME "relay"
#include "edgeless.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    (void)state;
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_cast(TEXT("out"), message);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    return edgeless_call(TEXT("out"), message);
}

static void handle_stop(void) {}
