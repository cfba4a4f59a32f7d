//! Stages of a map-reduce workflow: each waits for a message of every input, adds their vectors up
//! and casts the sum to every output. The first stage begins transactions, the last one ends them
//! (log entries `tbegin` and `tend`).
//!
//! Outputs are `out-N`; what is wrong goes to `err`. With `init_id_from_redis`, the first stage asks
//! `redis` for `last_transaction_id` before its first transaction and the last one casts to it.
//!
//! A message is the number of the transaction, the number of the input it is for, and the elements
//! of the vector: 32 bits each, most significant byte first, the elements as floating point. The
//! first stage takes elements only. Bytes are hardly ever a text: only `use_base64=true` is of use.
//!
//! init-payload: `init_id_from_redis`, `is_first`, `is_last`, `use_base64` (booleans, all false),
//! `inputs=N:N:...`, `outputs=N:N:...` (empty).

use edgeless_function::*;

#[derive(Clone, Debug, PartialEq)]
struct Message {
    transaction: u32,
    input: u32,
    vector: Vec<f32>,
}

struct Stage {
    asks_redis: bool,
    is_first: bool,
    is_last: bool,
    use_base64: bool,
    inputs: Vec<u32>,
    outputs: Vec<u32>,
    /// The next transaction of the first stage.
    next: u32,
    /// Of the newest transaction, at most one of each input.
    pending: Vec<Message>,
}

static STAGE: State<Stage> = State::new();

struct BenchMapReduce;

impl Edgefunction for BenchMapReduce {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let arguments = parse_init_payload(&payload);
        let mut inputs = arguments.list("inputs", ':');
        inputs.sort_unstable();
        inputs.dedup();
        let stage = Stage {
            asks_redis: arguments.is_true("init_id_from_redis"),
            is_first: arguments.is_true("is_first"),
            is_last: arguments.is_true("is_last"),
            use_base64: arguments.is_true("use_base64"),
            inputs,
            outputs: arguments.list("outputs", ':'),
            next: 0,
            pending: Vec::new(),
        };
        for fault in stage.faults() {
            cast("err", &format!("init error: {}", fault));
        }
        STAGE.set(stage);
    }

    fn handle_cast(_src: InstanceId, message: String) {
        STAGE.with(|stage| {
            let taken = if stage.is_first {
                stage.begin(&message)
            } else {
                stage.collect(&message)
            };
            if let Err(fault) = taken {
                cast("err", &format!("error: {}", fault));
            }
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        cast("err", "error: called, which nobody should");
        CallRet::Noreply
    }

    fn handle_stop() {}
}

impl Stage {
    fn faults(&self) -> impl Iterator<Item = &'static str> {
        let (no_inputs, no_outputs) = (self.inputs.is_empty(), self.outputs.is_empty());
        let checks = [
            (self.is_first && !no_inputs, "the first stage has inputs"),
            (
                !self.is_first && no_inputs,
                "a stage behind the first has no inputs",
            ),
            (self.is_last && !no_outputs, "the last stage has outputs"),
            (
                !self.is_last && no_outputs,
                "a stage before the last has no outputs",
            ),
            (
                self.is_first && self.is_last,
                "one stage is the first and the last",
            ),
        ];
        let found = IntoIterator::into_iter(checks).filter(|check| check.0);
        found.map(|check| check.1)
    }

    fn begin(&mut self, message: &str) -> Result<(), String> {
        if self.asks_redis && self.next == 0 {
            if let CallRet::Reply(number) = call("redis", "last_transaction_id") {
                self.next = number.parse().unwrap_or(0);
            }
        }
        let bytes = self.decoded(message).ok_or_else(|| discarded(message))?;
        telemetry_log(LEVEL_TRACE, "tbegin", &self.next.to_string());
        let sum = Message {
            transaction: self.next,
            input: 0,
            vector: vector_of(&bytes),
        };
        self.next = self.next.wrapping_add(1);
        self.fan_out(sum)
    }

    fn collect(&mut self, message: &str) -> Result<(), String> {
        let decoded = self.decoded(message);
        let message = decoded
            .and_then(|bytes| Message::decode(&bytes))
            .ok_or_else(|| discarded(message))?;
        if !self.inputs.contains(&message.input) {
            return Err(format!("nothing is expected from input {}", message.input));
        }
        self.pending.retain(|other| other.input != message.input);
        self.pending.push(message);
        let newest = self.pending.iter().map(|message| message.transaction).max();
        self.pending
            .retain(|message| Some(message.transaction) == newest);
        if self.pending.len() < self.inputs.len() {
            return Ok(());
        }
        let sum = summed(std::mem::take(&mut self.pending));
        if self.is_last {
            self.end(sum.transaction);
            return Ok(());
        }
        self.fan_out(sum)
    }

    fn end(&self, transaction: u32) {
        let number = transaction.to_string();
        telemetry_log(LEVEL_TRACE, "tend", &number);
        if self.asks_redis {
            cast("redis", &number);
        }
    }

    fn fan_out(&self, mut message: Message) -> Result<(), String> {
        for output in &self.outputs {
            message.input = *output;
            let bytes = message.encode();
            let text = if self.use_base64 {
                base64::encode(&bytes)
            } else {
                String::from_utf8(bytes).map_err(|_| "not a text; set use_base64=true")?
            };
            cast(&format!("out-{}", output), &text);
        }
        Ok(())
    }

    fn decoded(&self, message: &str) -> Option<Vec<u8>> {
        if self.use_base64 {
            base64::decode(message)
        } else {
            Some(message.as_bytes().to_vec())
        }
    }
}

impl Message {
    fn decode(bytes: &[u8]) -> Option<Message> {
        Some(Message {
            transaction: u32::from_be_bytes(word(bytes.get(..4)?)),
            input: u32::from_be_bytes(word(bytes.get(4..8)?)),
            vector: vector_of(&bytes[8..]),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.transaction.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.input.to_be_bytes());
        bytes.extend(self.vector.iter().flat_map(|element| element.to_be_bytes()));
        bytes
    }
}

fn discarded(message: &str) -> String {
    format!("discarded an invalid message of size {}", message.len())
}

fn vector_of(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.chunks_exact(4);
    words.map(|bytes| f32::from_be_bytes(word(bytes))).collect()
}

fn word(bytes: &[u8]) -> [u8; 4] {
    let mut word = [0; 4];
    word.copy_from_slice(bytes);
    word
}

/// The sum is as long as the vector of the first input; shorter ones count as ending in zeros.
fn summed(mut messages: Vec<Message>) -> Message {
    messages.sort_unstable_by_key(|message| message.input);
    let mut sum = messages.remove(0);
    for message in &messages {
        for (element, other) in sum.vector.iter_mut().zip(&message.vector) {
            *element += other;
        }
    }
    sum
}

edgeless_function::export!(BenchMapReduce);

#[cfg(test)]
mod tests {
    use super::*;

    fn message(input: u32, vector: &[f32]) -> Message {
        Message {
            transaction: 1,
            input,
            vector: vector.to_vec(),
        }
    }

    #[test]
    fn messages_survive_their_encoding() {
        let sent = message(2, &[1.0, 2.0, 3.0]);
        let bytes = sent.encode();
        assert_eq!(Message::decode(&bytes), Some(sent.clone()));
        let text = base64::encode(&bytes);
        let bytes = base64::decode(&text).unwrap();
        assert_eq!(Message::decode(&bytes), Some(sent));
        assert_eq!(Message::decode(&bytes[..7]), None);
    }

    #[test]
    fn vectors_are_added_in_the_order_of_their_inputs() {
        let sum = summed(vec![message(5, &[1.0]), message(3, &[2.0, 4.0])]);
        assert_eq!(sum, message(3, &[3.0, 4.0]));
    }
}
