//! Casts messages to `out1`, `out2`, ... in turn, to be put in front of equal functions. The second
//! output is the first one to get something, as in EDGELESS. A call to it is an error.
//!
//! init-payload: `num_outputs=N` (0, which drops everything).

use edgeless_function::*;

struct Turn {
    outputs: u64,
    last: u64,
}

static TURN: State<Turn> = State::new();

struct LoadBalance;

impl Edgefunction for LoadBalance {
    fn handle_init(payload: String, _state: Option<String>) {
        let outputs = parse_init_payload(&payload).get_or("num_outputs", 0);
        TURN.set(Turn { outputs, last: 0 });
    }

    fn handle_cast(_src: InstanceId, message: String) {
        TURN.with(|turn| {
            if turn.outputs > 0 {
                turn.last = (turn.last + 1) % turn.outputs;
                cast(&format!("out{}", turn.last + 1), &message);
            }
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Err
    }

    fn handle_stop() {}
}

edgeless_function::export!(LoadBalance);
