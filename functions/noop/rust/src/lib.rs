//! Logs every event it gets and does nothing else: the function of EDGELESS's guide.

use edgeless_function::*;

struct NoopFunction;

impl Edgefunction for NoopFunction {
    fn handle_init(payload: String, _serialized_state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("Noop initialized, payload: {}", payload);
    }

    fn handle_cast(src: InstanceId, message: String) {
        log_event("casted", src, &message);
    }

    fn handle_call(src: InstanceId, message: String) -> CallRet {
        log_event("called", src, &message);
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("Noop stopped");
    }
}

fn log_event(what: &str, src: InstanceId, message: &str) {
    log::info!(
        "Noop {}, node {}, function {}, MSG: {}",
        what,
        src.node,
        src.function,
        message
    );
}

edgeless_function::export!(NoopFunction);
