/* Never returns from the message "spin"; any other goes to "out", and back to who called. */
#define EDGELESS_FUNCTION_NAME "spin"
#include "edgeless_text.h"

static void obey(edgeless_text message) {
    if (edgeless_equal(message, TEXT("spin"))) {
        for (;;) {
        }
    }
    edgeless_cast(TEXT("out"), message);
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    (void)state;
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
