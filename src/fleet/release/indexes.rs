//! What signs the packages that hosts of dev would install: the indexes of their archives, fetched anew by each host's own apt
//! into a folder of its own, and sent here. Nothing of it is believed here.

use std::time::Duration;

use super::capture::is_the_one;
use crate::domain::ReleaseId;
use crate::event::Event;
use crate::fleet::{Job, Run, nonce};
use crate::release::transfer::{self, Captured};
use crate::shell::Output;
use crate::transaction::Replies;
use crate::transport::{Bounds, Entry};

/// A host fetches indexes over whatever line it has.
const PATIENCE: Duration = Duration::from_mins(15);

/// Bytes of all indexes of a host, packed: those of all of Debian have 12 MB.
const ALL: usize = 256 << 20;

impl Run {
    /// The indexes of the archives that `job`'s host has, for the release that is to be called `release`: one connection and two
    /// execs.
    pub async fn indexes(&self, job: &Job, release: &ReleaseId) -> Result<Captured, String> {
        let host = &job.desired.host;
        self.emit(Event::Note { text: format!("{host}: sends what signs its packages") });
        let session = self.connector.connect(&job.target).await.map_err(|error| error.about(host))?;
        let answer = async {
            is_the_one(session.as_ref(), job).await?;
            let nonce = nonce();
            let script = transfer::indexes(&nonce, release);
            let bounds = Bounds { deadline: PATIENCE, bytes: ALL };
            let output =
                session.run(&script, Entry::Root, bounds).await.map_err(|error| error.about(host))?;
            let captured = transfer::captured(&nonce, &output).map_err(|unread| unread.to_string())?;
            let rest = Output { stdout: captured.rest.clone(), ..output };
            let said = Replies::read(&rest, &nonce).expect("indexed", release);
            said.map_err(|refused| refused.to_string())?;
            Ok(captured)
        }
        .await;
        session.close().await;
        answer
    }
}
