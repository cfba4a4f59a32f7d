//! Casts 1, 2, 3, ... to `output`, one a second. The last number is its state and goes on from
//! there when the instance is made anew; without a state it begins at the init-payload, or at 0.

use edgeless_function::*;

const PERIOD_MS: u64 = 1000;

struct Counter;

impl Edgefunction for Counter {
    fn handle_init(payload: String, state: Option<String>) {
        edgeless_function::init_logger();
        let candidates = [state.unwrap_or_default(), payload];
        let first = candidates.iter().find(|text| text.parse::<i32>().is_ok());
        cast("self", first.map_or("0", |text| text));
    }

    fn handle_cast(_src: InstanceId, message: String) {
        match message.parse::<i32>() {
            Ok(number) => {
                let next = number.wrapping_add(1).to_string();
                sync(&next);
                cast("output", &next);
                delayed_cast(PERIOD_MS, "self", &next);
            }
            Err(_) => log::error!("counter: not a number: {}", message),
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

edgeless_function::export!(Counter);
