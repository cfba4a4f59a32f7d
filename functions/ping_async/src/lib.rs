//! Casts `PING` to `ponger` once a second, ten seconds after its start; answers come as casts.

use edgeless_function::*;

const FIRST_MS: u64 = 10_000;
const PERIOD_MS: u64 = 1000;

struct PingAsync;

impl Edgefunction for PingAsync {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("ping_async: started");
        delayed_cast(FIRST_MS, "self", "wakeup");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        if message == "wakeup" {
            log::info!("ping_async: pings");
            cast("ponger", "PING");
            delayed_cast(PERIOD_MS, "self", "wakeup");
        } else {
            log::info!("ping_async: answered {}", message);
        }
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("ping_async: called with {}", message);
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("ping_async: stopped");
    }
}

edgeless_function::export!(PingAsync);
