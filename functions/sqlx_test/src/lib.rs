//! Keeps a number and a text in the row of its workflow in the table `WorkflowState`, through
//! `database`: inserts them at its start, replaces them for every message, deletes the row when it
//! stops.
//!
//! init-payload: the first number (0).

use edgeless_function::*;

struct SqlxTest;

impl Edgefunction for SqlxTest {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("sqlx_test: started");
        let metadata = metadata(number_of(&payload), "initial");
        query(&format!(
            "INSERT INTO WorkflowState (id, metadata) VALUES ($1, '{}')",
            metadata
        ));
    }

    /// Only a row that is there is changed.
    fn handle_cast(_src: InstanceId, message: String) {
        let row = match query("SELECT id, metadata FROM WorkflowState WHERE id=$1") {
            Some(row) => json::parse(&row),
            None => return,
        };
        let old = row
            .as_ref()
            .and_then(|row| row.get("metadata")?.get("foo")?.number::<f32>());
        let new = number_of(&message);
        log::info!("sqlx_test: {} replaces {}", new, old.unwrap_or(0.0));
        let metadata = metadata(new, "subsequent");
        query(&format!(
            "UPDATE WorkflowState SET metadata='{}' WHERE id=$1",
            metadata
        ));
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        log::warn!("sqlx_test: called, which nobody should");
        CallRet::Noreply
    }

    /// In vain if the database was stopped before.
    fn handle_stop() {
        log::info!("sqlx_test: stopped");
        query("DELETE FROM WorkflowState WHERE id=$1");
    }
}

fn query(statement: &str) -> Option<String> {
    match call("database", statement) {
        CallRet::Reply(answer) => {
            log::info!("sqlx_test: the database says {}", answer);
            Some(answer)
        }
        CallRet::Noreply => {
            log::warn!("sqlx_test: the database did not reply");
            None
        }
        CallRet::Err => {
            log::error!("sqlx_test: the database failed");
            None
        }
    }
}

fn number_of(text: &str) -> f32 {
    let number = text.parse::<f32>().unwrap_or(0.0);
    if number.is_finite() {
        number
    } else {
        0.0
    }
}

fn metadata(foo: f32, bar: &str) -> String {
    format!("{{\"foo\":{:?},\"bar\":\"{}\"}}", foo, bar)
}

edgeless_function::export!(SqlxTest);
