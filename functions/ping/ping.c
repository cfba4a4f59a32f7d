/* Calls "ponger" with PING-0, PING-1, ... once a second; the count is its state. */
#define EDGELESS_FUNCTION_NAME "ping"
#include "edgeless_text.h"

#define PERIOD_MS 1000

static uint64_t count;

static void store_count(void) {
    edgeless_builder state = {0};
    edgeless_append(&state, TEXT("{\"count\":"));
    edgeless_append_u64(&state, count);
    edgeless_append(&state, TEXT("}"));
    edgeless_sync(edgeless_built(&state));
}

/* The number in {"count":N}: a state that this function did not write counts from zero. */
static uint64_t count_of(edgeless_text state) {
    edgeless_text rest = state;
    edgeless_next_token(&rest, ':');
    return edgeless_parse_u64(edgeless_next_token(&rest, '}'), 0);
}

static void ping_once(void) {
    edgeless_text message = edgeless_join(TEXT("PING-"), edgeless_text_of_u64(count));
    count++;
    store_count();
    edgeless_answer answer = edgeless_call(TEXT("ponger"), message);
    if (answer.code == EDGELESS_REPLY) {
        edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("ping: answered "), answer.text));
    }
    edgeless_delayed_cast(PERIOD_MS, TEXT("self"), TEXT("wakeup"));
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    edgeless_log(EDGELESS_LOG_INFO, TEXT("ping: started"));
    count = count_of(state);
    edgeless_cast(TEXT("self"), TEXT("wakeup"));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("ping: cast with "), message));
    if (edgeless_equal(message, TEXT("wakeup"))) {
        ping_once();
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("ping: called with "), message));
    return edgeless_no_reply();
}

static void handle_stop(void) { edgeless_log(EDGELESS_LOG_INFO, TEXT("ping: stopped")); }
