//! Calls `ponger` with `PING-0`, `PING-1`, ... once a second; the count is its state.

use edgeless_function::*;

const PERIOD_MS: u64 = 1000;

static COUNT: State<u64> = State::new();

struct Ping;

impl Edgefunction for Ping {
    fn handle_init(_payload: String, state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("ping: started");
        COUNT.set(state.map_or(0, |state| count_of(&state)));
        cast("self", "wakeup");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("ping: cast with {}", message);
        if message == "wakeup" {
            ping();
        }
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("ping: called with {}", message);
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("ping: stopped");
    }
}

fn ping() {
    let number = COUNT.with(|count| {
        *count += 1;
        *count - 1
    });
    sync(&format!("{{\"count\":{}}}", number + 1));
    if let CallRet::Reply(answer) = call("ponger", &format!("PING-{}", number)) {
        log::info!("ping: answered {}", answer);
    }
    delayed_cast(PERIOD_MS, "self", "wakeup");
}

/// A state that this function did not write counts from zero.
fn count_of(state: &str) -> u64 {
    let count = json::parse(state).and_then(|state| state.get("count")?.number());
    count.unwrap_or(0)
}

edgeless_function::export!(Ping);
