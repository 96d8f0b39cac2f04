//! The work on one host: what all parts of a change know and say of it.

use std::time::{Duration, Instant};

use super::breakpoint;
use crate::domain::{ControlId, TxId};
use crate::event::{Event, Stage};
use crate::fleet::{Job, Looked, Run, add_cost};
use crate::record::{Cost, HostState};
use crate::resource::Phase;
use crate::transaction::Ended;
use crate::transport::{Bounds, Session, Target};

/// How a phase ended, short of success.
pub(in crate::fleet) enum Stop {
    /// Nothing was changed in this phase.
    Before(HostState),
    /// The transaction may have begun; its end must be watched.
    Uncertain { tx: TxId, phase: Phase, why: String },
}

pub(in crate::fleet) struct Work<'a> {
    pub(in crate::fleet) run: &'a Run,
    pub(in crate::fleet) job: &'a Job,
    /// The job without what stays as it is, whatever is changed.
    pub(in crate::fleet) touched: Job,
    pub(in crate::fleet) cost: Cost,
    pub(in crate::fleet) ended: Vec<Ended>,
    /// The controls that something stands in the way of.
    pub(in crate::fleet) blocked: Vec<ControlId>,
    /// TCP ports that the new rules no longer let in.
    pub(in crate::fleet) closes: Vec<u16>,
    /// What the last verification saw, of a change that may still be taken back.
    pub(in crate::fleet) last_look: Option<Looked>,
    /// What is known of the host as it stands: seen when a phase was confirmed.
    pub(in crate::fleet) confirmed_look: Option<Looked>,
    pub(in crate::fleet) witnesses: Vec<Target>,
    /// When the host was told to arm the transaction at hand; none while it was not.
    pub(in crate::fleet) armed_at: Option<Instant>,
}

impl Work<'_> {
    pub(in crate::fleet) fn bounds(&self) -> Bounds {
        Bounds { deadline: self.run.rollback_timeout.max(Duration::from_secs(10)), bytes: 4 << 20 }
    }

    pub(in crate::fleet) async fn end(&mut self, session: Box<dyn Session>) {
        add_cost(&mut self.cost, session.as_ref());
        session.close().await;
    }

    pub(in crate::fleet) async fn stage(&self, phase: Phase, stage: Stage) {
        self.emit(Event::Stage { host: self.job.desired.host.clone(), phase, stage });
        if let Some(file) = self.run.breakpoints.as_ref().and_then(|all| all.at(phase, stage)) {
            breakpoint::wait_at(file).await;
        }
    }

    pub(in crate::fleet) fn emit(&self, event: Event) {
        self.run.emit(event);
    }

    pub(in crate::fleet) fn note(&self, text: String) {
        self.emit(Event::Note { text });
    }
}
