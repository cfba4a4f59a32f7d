/* Logs every event it gets and does nothing else: the smallest function there is. */
#define EDGELESS_FUNCTION_NAME "noop"
#include "edgeless_text.h"

static void log_event(edgeless_text what, edgeless_source source, edgeless_text message) {
    edgeless_builder line = {0};
    edgeless_append(&line, what);
    edgeless_append(&line, TEXT(", node "));
    edgeless_append_uuid(&line, source.node);
    edgeless_append(&line, TEXT(", function "));
    edgeless_append_uuid(&line, source.component);
    edgeless_append(&line, TEXT(", MSG: "));
    edgeless_append(&line, message);
    edgeless_log(EDGELESS_LOG_INFO, edgeless_built(&line));
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("Noop initialized, payload: "), payload));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    log_event(TEXT("Noop casted"), source, message);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    log_event(TEXT("Noop called"), source, message);
    return edgeless_no_reply();
}

static void handle_stop(void) { edgeless_log(EDGELESS_LOG_INFO, TEXT("Noop stopped")); }
