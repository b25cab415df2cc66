//! Follows a stream of the host for as long as somebody reads, across its restarts: what `tail` and `state watch` share.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Client;
use crate::error::{CliError, Refused};
use crate::event_stream::{EventStream, Frame};
use crate::terminal::{note, say_on};

/// How long to wait before a host that went away is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What is followed, and how far its reading has come.
pub(super) trait Follow {
    /// Where the stream is.
    fn path(&self) -> Vec<&str>;
    /// What to ask for: from the beginning, or where the reading was.
    fn query(&self) -> Vec<(&'static str, String)>;
    /// Whether a stream has begun: from then on a host that is away is waited for.
    fn has_begun(&self) -> bool;
    /// Takes a frame; gives the line to show for it, if there is one.
    fn take(&mut self, frame: &Frame) -> Result<Option<String>, CliError>;
    /// Whether all that was asked for is shown.
    fn is_done(&self) -> bool;
}

/// How a stream ended.
enum Ended {
    /// All that was asked for is shown, or nobody reads it any more.
    Done,
    /// The host went away.
    Lost,
}

/// Shows a stream until it is done; when the host goes away, waits for it and goes on.
pub(super) async fn follow(client: &Client, followed: &mut impl Follow) -> anyhow::Result<()> {
    let mut lost = false;
    loop {
        match client.stream(&followed.path(), &followed.query()).await {
            Ok(stream) => {
                lost = false;
                if let Ended::Done = read(stream, followed).await? {
                    return Ok(());
                }
            }
            Err(error) if !followed.has_begun() || !passes(&error) => return Err(error),
            Err(_) => {}
        }
        if !lost {
            note(&format!("{} went away; reading goes on when it is back", client.url()));
        }
        lost = true;
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn read(mut stream: EventStream, followed: &mut impl Follow) -> anyhow::Result<Ended> {
    loop {
        let frame = match stream.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(CliError::HostUnreachable { .. }) => return Ok(Ended::Lost),
            Err(error) => return Err(error.into()),
        };
        if frame.name == "problem" {
            return Err(Refused(parse(&frame.data)?).into());
        }
        if followed.take(&frame)?.is_some_and(|line| !say_on(&line)) || followed.is_done() {
            return Ok(Ended::Done);
        }
    }
}

/// A frame's data.
pub(super) fn parse<T: DeserializeOwned>(data: &str) -> Result<T, CliError> {
    serde_json::from_str(data).map_err(|e| unreadable(&e.to_string()))
}

/// A frame that makes no sense.
pub(super) fn unreadable(why: &str) -> CliError {
    CliError::BadAnswer {
        url: "the host's stream".into(),
        why: why.into(),
    }
}

/// Whether a failure may pass when the host is back.
fn passes(error: &anyhow::Error) -> bool {
    let busy = |refused: &Refused| refused.0.get("status").and_then(Value::as_u64) == Some(503);
    matches!(error.downcast_ref(), Some(CliError::HostUnreachable { .. })) || error.downcast_ref().is_some_and(busy)
}
