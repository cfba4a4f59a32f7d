//! Casts one message to `out` when it starts, and again for every empty message it gets.
//!
//! init-payload: `delay_ms=MILLISECONDS` (0), `message=TEXT` (empty).

use edgeless_function::*;

static MESSAGE: State<String> = State::new();

struct SingleTrigger;

impl Edgefunction for SingleTrigger {
    fn handle_init(payload: String, _state: Option<String>) {
        let arguments = parse_init_payload(&payload);
        MESSAGE.set(arguments.get("message").unwrap_or("").to_string());
        delayed_cast(arguments.get_or("delay_ms", 0), "self", "");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        if message.is_empty() {
            MESSAGE.with(|kept| cast("out", kept));
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

edgeless_function::export!(SingleTrigger);
