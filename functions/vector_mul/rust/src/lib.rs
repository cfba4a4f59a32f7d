//! A chain that multiplies vectors: the client casts a random vector to `out` whenever it gets a
//! message; the others cast their own random matrix times the vector they get. Vectors are texts:
//! the number of the transaction, then the elements, separated by commas.
//!
//! init-payload: `seed=N` (0), `is_client=BOOLEAN` (false), `input_size=N` (100).

use edgeless_function::lcg::{random_matrix, random_vector, Lcg};
use edgeless_function::*;

const FIRST_MS: u64 = 1000;
const INPUT_SIZE_DEFAULT: usize = 100;
/// A matrix of this size fills what a function can address.
const INPUT_SIZE_MAX: usize = 32_767;

struct Worker {
    is_client: bool,
    input_size: usize,
    transaction: u64,
    lcg: Lcg,
    /// Row by row; the client has none.
    matrix: Vec<f32>,
}

static WORKER: State<Worker> = State::new();

struct VectorMul;

impl Edgefunction for VectorMul {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let arguments = parse_init_payload(&payload);
        let is_client = arguments.is_true("is_client");
        let input_size = arguments.get_or("input_size", INPUT_SIZE_DEFAULT);
        assert!(input_size <= INPUT_SIZE_MAX, "input_size is too large");
        let mut lcg = Lcg::new(arguments.get_or("seed", 0));
        let rows = if is_client { 0 } else { input_size };
        let matrix = random_matrix(&mut lcg, rows);
        WORKER.set(Worker {
            is_client,
            input_size,
            transaction: 0,
            lcg,
            matrix,
        });
        if is_client {
            delayed_cast(FIRST_MS, "self", "");
        }
    }

    fn handle_cast(_src: InstanceId, message: String) {
        WORKER.with(|worker| {
            if worker.is_client {
                worker.begin_transaction();
            } else {
                worker.multiply(&message);
            }
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

impl Worker {
    fn begin_transaction(&mut self) {
        if self.transaction > 0 {
            telemetry_log(LEVEL_TRACE, "tend", &self.transaction.to_string());
        }
        self.transaction += 1;
        let number = self.transaction.to_string();
        let vector = random_vector(&mut self.lcg, self.input_size);
        telemetry_log(LEVEL_TRACE, "tbegin", &number);
        cast("out", &text_of(number, &vector));
    }

    /// A vector of another size is the sender's fault, and ends this instance.
    fn multiply(&self, message: &str) {
        let mut parts = message.strip_suffix(',').unwrap_or(message).split(',');
        let number: u64 = parts.next().unwrap_or("").parse().unwrap_or(0);
        let input: Vec<f32> = parts.map(|part| part.parse().unwrap_or(0.0)).collect();
        assert_eq!(input.len(), self.input_size, "the size of the vector");
        let output: Vec<f32> = (0..self.input_size)
            .map(|row| {
                let row = &self.matrix[row * self.input_size..];
                row.iter()
                    .zip(&input)
                    .map(|(left, right)| left * right)
                    .sum()
            })
            .collect();
        cast("out", &text_of(number.to_string(), &output));
    }
}

fn text_of(number: String, vector: &[f32]) -> String {
    let mut text = number;
    for element in vector {
        text.push(',');
        text.push_str(&element.to_string());
    }
    text
}

edgeless_function::export!(VectorMul);
