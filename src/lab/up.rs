//! Bringing a lab up. Where any of it fails, nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use super::addresses::Networks;
use super::attached::Lab;
use super::base::Base;
use super::error::{self, LabError};
use super::event::{LabEvent, Sink};
use super::folder::{LabFolder, available};
use super::host::Host;
use super::machine::{self, Accelerator};
use super::record::{self, HostRecord, LabRecord, ProcessRecord};
use super::spec::{Shape, Spec, Suite};
use super::{archive, delivery, inotify, invocation, switch};
use crate::domain::{Identifier, PublicKey};

impl Lab {
    /// Brings up `spec` and waits until every host answers SSH. Installs what this machine lacks, builds the bases that
    /// are missing, and removes what dead labs left behind. Where any of it fails, nothing is left.
    ///
    /// The lab goes when it is dropped, or is swept by the next one where this process dies before; [`Self::keep`] lets
    /// it stay.
    pub fn up(place: &LabFolder, spec: &Spec, sink: Sink) -> Result<Self, LabError> {
        available()?;
        spec.check()?;
        invocation::install_missing(sink)?;
        drop(place.sweep(sink)?);
        place.prune()?;
        let wanted: BTreeSet<(Suite, Shape)> =
            spec.hosts.iter().map(|host| (host.suite, host.shape())).collect();
        let folder = place.bases();
        let machines = wanted.iter().any(|(_, shape)| *shape == Shape::Machine);
        if machines && let Some(why) = machine::unsupported() {
            return Err(why);
        }
        let bases: BTreeMap<(Suite, Shape), Base> =
            each(wanted, |(suite, shape)| Ok(((suite, shape), Base::ensure(&folder, suite, shape, sink)?)))?
                .into_iter()
                .collect();
        if machines && let Some((_, base)) = bases.iter().find(|((_, shape), _)| *shape == Shape::Machine) {
            let tools = Base::tools(&folder, sink)?;
            Accelerator::found(&folder, &tools, base, sink)?;
        }
        let lab = Self::reserve(place, spec, &bases)?;
        inotify::make_room(place.records().iter().map(|other| other.hosts.len()).sum(), sink);
        // where this fails, the lab is dropped, and so taken down
        lab.raise(sink)?;
        Ok(lab)
    }

    /// Picks an id and addresses, and writes the record: from here on the lab can be found.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    fn reserve(
        place: &LabFolder,
        spec: &Spec,
        bases: &BTreeMap<(Suite, Shape), Base>,
    ) -> Result<Self, LabError> {
        let labs = place.labs();
        let _lock = place.lock()?;
        let others: Vec<LabRecord> = place.records();
        let taken: Vec<Networks> = others.iter().map(|other| other.networks.clone()).collect();
        let id = loop {
            let id = new_id()?;
            if others.iter().all(|other| other.id != id) {
                break id;
            }
        };
        let name = spec.name.as_ref().map_or_else(|| id.to_string(), ToString::to_string);
        if others.iter().any(|other| other.name == name) {
            return Err(LabError::Spec {
                why: format!("a lab called {name} is up already; take it down first, or choose another name"),
            });
        }
        let networks = switch::pick(&taken)?;
        let hosts = networks
            .assign(&spec.hosts)?
            .into_iter()
            .zip(&spec.hosts)
            .zip(0..)
            .map(|((given, host), number)| {
                let base = bases.get(&(host.suite, host.shape()))?.key.clone();
                let (public, private) = (given.public, given.private);
                Some(HostRecord { spec: host.clone(), number, base, public, private })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| LabError::Spec { why: "a host's distribution has no base".to_owned() })?;
        let record = LabRecord::new(id, name, jiff::Timestamp::now(), ProcessRecord::own(), networks, hosts);
        let folder = labs.join(record.id.as_str());
        let archive = folder.join(archive::FOLDER);
        std::fs::create_dir_all(&archive).map_err(LabError::file("make", &archive))?;
        record.write(&folder)?;
        let mut lab = Self::attach(place, record);
        lab.ends_with_us = true;
        Ok(lab)
    }

    fn raise(&self, sink: Sink) -> Result<(), LabError> {
        let vendor = self.new_key("vendor", "debian@provider")?;
        let former = self.new_key("former", "someone-who-left")?;
        switch::build(&self.record)?;
        let keys = delivery::DeliveredKeys { vendor: &vendor, former: &former };
        let started: Vec<(Host, Instant, Vec<PublicKey>)> = each(self.hosts(), |host| {
            let host_keys = host.deliver(&keys)?;
            sink(&LabEvent::Starting(host.name().clone()));
            host.power_on()?;
            #[expect(clippy::disallowed_methods, reason = "the lab says how long a host took")]
            let now = Instant::now();
            Ok((host, now, host_keys))
        })?;
        self.write_host_keys(started.iter().map(|(host, _, keys)| (*host, keys.as_slice())))?;
        for (host, begun, _) in started {
            host.wait_until_ready()?;
            sink(&LabEvent::Ready(host.name().clone(), begun.elapsed()));
        }
        self.hosts().try_for_each(|host| host.keep_warm())
    }

    /// `fingerprints.yaml` for `enrol`, `known_hosts` for plain ssh.
    fn write_host_keys<'a>(
        &self,
        hosts: impl Iterator<Item = (Host<'a>, &'a [PublicKey])>,
    ) -> Result<(), LabError> {
        let mut fingerprints = String::new();
        let mut known_hosts = String::new();
        for (host, keys) in hosts {
            // names and fingerprints hold nothing that YAML would read as anything else between quotes
            let all: Vec<String> = keys.iter().map(|key| format!("\"{}\"", key.fingerprint())).collect();
            let _ = writeln!(fingerprints, "\"{}\": [{}]", host.name(), all.join(", "));
            let port = host.record().spec.ssh_port;
            for key in keys {
                for address in host.addresses() {
                    let _ = match port.number() {
                        22 => writeln!(known_hosts, "{address} {}", key.material()),
                        other => writeln!(known_hosts, "[{address}]:{other} {}", key.material()),
                    };
                }
            }
        }
        record::write_whole(&self.fingerprints(), fingerprints.as_bytes())?;
        record::write_whole(&self.folder.join("known_hosts"), known_hosts.as_bytes())
    }
}

/// Does `act` for all of them at the same time; the results are in their order, or the first error is.
fn each<T: Send, R: Send>(
    all: impl IntoIterator<Item = T>,
    act: impl Fn(T) -> Result<R, LabError> + Sync,
) -> Result<Vec<R>, LabError> {
    let act = &act;
    std::thread::scope(|scope| {
        let threads: Vec<_> = all.into_iter().map(|one| scope.spawn(move || act(one))).collect();
        // every thread is waited for, also behind one that failed
        let results: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn new_id() -> Result<Identifier, LabError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes).map_err(error::no_randomness)?;
    let text: String =
        bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 32))).map(|&b| char::from(b)).collect();
    text.parse().map_err(|why: crate::domain::Malformed| LabError::Spec { why: why.to_string() })
}
