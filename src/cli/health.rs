//! `coreward health`: asks the running server, for health checks of containers and service managers.

use crate::boot::BootError;
use crate::cli::http;
use crate::config::Args;

pub fn run(args: &Args) -> Result<(), BootError> {
    let config = super::load(args)?;
    let url = super::user::server_url(&config);
    let (status, body) = http::request("GET", &format!("{url}/health"), None, None)?;
    println!("{body}");
    if status == 200 { Ok(()) } else { Err(format!("the server answered {status}").into()) }
}
