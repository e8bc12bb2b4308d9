//! What PostgreSQL's errors mean for the contract. Their details are left out: they may show stored values.

use tokio_postgres::error::DbError;

use crate::StoreError;

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(told) => of_server(told),
            None if is_lost(&error) => Self::Unavailable(format!("PostgreSQL: {error}")),
            None => Self::Engine(format!("PostgreSQL: {error}")),
        }
    }
}

/// The connection is gone, or never was.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>())
}

/// By SQLSTATE (PostgreSQL's manual, appendix A).
fn of_server(told: &DbError) -> StoreError {
    let (code, message) = (told.code().code(), told.message());
    match code {
        "53100" => StoreError::NoSpace,
        // Serialization failure, deadlock: nothing is stored, the method may run again.
        "40001" | "40P01" => StoreError::Stale,
        // Lock timeout.
        "55P03" => StoreError::Busy,
        "57014" => StoreError::Unavailable("PostgreSQL: a statement took too long and was cancelled".into()),
        // Read-only: this server is a standby now.
        "25006" => StoreError::Unavailable(format!("PostgreSQL: {message}; point the configuration at the primary")),
        "XX001" | "XX002" => StoreError::Corrupt(format!("PostgreSQL: {message}")),
        _ => match code.get(..2) {
            // Connection, authorization, missing database, resources, operator's intervention, system.
            Some("08" | "28" | "3D" | "53" | "57" | "58") => {
                StoreError::Unavailable(format!("PostgreSQL: {message} ({code})"))
            }
            _ => StoreError::Engine(format!("PostgreSQL: {message} ({code})")),
        },
    }
}
