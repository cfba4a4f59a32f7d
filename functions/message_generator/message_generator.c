/* Casts a numbered message to "output" once per period.
 * init-payload: period=MILLISECONDS (1000), message=TEXT (hello world). */
#define EDGELESS_FUNCTION_NAME "message_generator"
#include "edgeless_text.h"

#define PERIOD_MS_DEFAULT 1000

static uint64_t period_ms;
static uint64_t count;

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    edgeless_text period = edgeless_argument(payload, TEXT("period"), TEXT(""));
    period_ms = edgeless_parse_u64(period, PERIOD_MS_DEFAULT);
    edgeless_cast(TEXT("self"),
                  edgeless_argument(payload, TEXT("message"), TEXT("hello world")));
}

/* The message travels with the event to itself: there is nothing to keep but the count. */
static void handle_cast(edgeless_source source, edgeless_text message) {
    edgeless_builder line = {0};
    edgeless_append(&line, TEXT("from node_id "));
    edgeless_append_uuid(&line, source.node);
    edgeless_append(&line, TEXT(" function_id "));
    edgeless_append_uuid(&line, source.component);
    edgeless_append(&line, TEXT(" [#"));
    edgeless_append_u64(&line, count++);
    edgeless_append(&line, TEXT("]: "));
    edgeless_append(&line, message);
    edgeless_cast(TEXT("output"), edgeless_built(&line));
    edgeless_delayed_cast(period_ms, TEXT("self"), message);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) {}
