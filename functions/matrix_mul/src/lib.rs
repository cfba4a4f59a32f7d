//! A chain that multiplies matrices: every event makes a function multiply its matrix by a random
//! one and cast the number of the transaction on. The first function begins transactions, the last
//! one ends them (log entries `tbegin` and `tend`).
//!
//! init-payload: `seed=N` (0), `inter_arrival=MILLISECONDS` (1000; 0: only events begin one),
//! `is_first=BOOLEAN` (false), `is_last=BOOLEAN` (false), `matrix_size=N` (100), `outputs=N:N:...`
//! (0), which are `out-N`.

use edgeless_function::lcg::{random_matrix, Lcg};
use edgeless_function::*;

const FIRST_MS: u64 = 1000;

struct Worker {
    inter_arrival_ms: u64,
    is_first: bool,
    is_last: bool,
    size: usize,
    outputs: Vec<String>,
    /// The next transaction of the first function.
    next: u64,
    lcg: Lcg,
    /// Row by row.
    matrix: Vec<f32>,
}

static WORKER: State<Worker> = State::new();

struct MatrixMul;

impl Edgefunction for MatrixMul {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let arguments = parse_init_payload(&payload);
        let mut outputs = Vec::new();
        let numbers = match arguments.get("outputs") {
            Some(_) => arguments.list::<u32>("outputs", ':'),
            None => vec![0],
        };
        for number in numbers {
            let output = format!("out-{}", number);
            if !outputs.contains(&output) {
                outputs.push(output);
            }
        }
        let size = arguments.get_or("matrix_size", 100);
        let mut lcg = Lcg::new(arguments.get_or("seed", 0));
        let matrix = random_matrix(&mut lcg, size);
        let is_first = arguments.is_true("is_first");
        WORKER.set(Worker {
            inter_arrival_ms: arguments.get_or("inter_arrival", 1000),
            is_first,
            is_last: arguments.is_true("is_last"),
            size,
            outputs,
            next: 0,
            lcg,
            matrix,
        });
        if is_first {
            delayed_cast(FIRST_MS, "self", "");
        }
    }

    fn handle_cast(_src: InstanceId, message: String) {
        WORKER.with(|worker| worker.handle(&message));
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

impl Worker {
    fn handle(&mut self, message: &str) {
        let number = if self.is_first {
            self.begin_transaction()
        } else {
            message.parse().unwrap_or(0)
        };
        let number = number.to_string();
        self.multiply();
        if self.is_last {
            telemetry_log(LEVEL_TRACE, "tend", &number);
        }
        for output in &self.outputs {
            cast(output, &number);
        }
    }

    fn begin_transaction(&mut self) -> u64 {
        if self.inter_arrival_ms > 0 {
            delayed_cast(self.inter_arrival_ms, "self", "");
        }
        let number = self.next;
        telemetry_log(LEVEL_TRACE, "tbegin", &number.to_string());
        self.next += 1;
        number
    }

    fn multiply(&mut self) {
        let size = self.size;
        let other = random_matrix(&mut self.lcg, size);
        let mut product = vec![0.0; size * size];
        for row in 0..size {
            for middle in 0..size {
                let factor = self.matrix[row * size + middle];
                let terms = &other[middle * size..][..size];
                for (sum, term) in product[row * size..].iter_mut().zip(terms) {
                    *sum += factor * term;
                }
            }
        }
        self.matrix = product;
    }
}

edgeless_function::export!(MatrixMul);
