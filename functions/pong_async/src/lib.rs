//! Casts `PONG2` back to who cast something to it. The output `pinger` is there for workflows that
//! want to name the other side; nothing is sent to it.

use edgeless_function::*;

struct PongAsync;

impl Edgefunction for PongAsync {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("pong_async: started");
    }

    fn handle_cast(src: InstanceId, message: String) {
        log::info!("pong_async: cast with {}", message);
        cast_raw(src, "PONG2");
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("pong_async: called with {}", message);
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("pong_async: stopped");
    }
}

edgeless_function::export!(PongAsync);
