//! Casts a numbered message to `output` once per period.
//!
//! init-payload: `period=MILLISECONDS` (1000), `message=TEXT` (hello world).

use edgeless_function::*;

const PERIOD_MS_DEFAULT: u64 = 1000;

struct Settings {
    period_ms: u64,
    count: u64,
}

static SETTINGS: State<Settings> = State::new();

struct MessageGenerator;

impl Edgefunction for MessageGenerator {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let arguments = parse_init_payload(&payload);
        SETTINGS.set(Settings {
            period_ms: arguments.get_or("period", PERIOD_MS_DEFAULT),
            count: 0,
        });
        cast("self", arguments.get("message").unwrap_or("hello world"));
    }

    /// The message travels with the event to itself.
    fn handle_cast(src: InstanceId, message: String) {
        let (period_ms, number) = SETTINGS.with(|settings| {
            settings.count += 1;
            (settings.period_ms, settings.count - 1)
        });
        let line = format!(
            "from node_id {} function_id {} [#{}]: {}",
            src.node, src.function, number, message
        );
        cast("output", &line);
        delayed_cast(period_ms, "self", &message);
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

edgeless_function::export!(MessageGenerator);
