//! Real connections: an sshd on the loopback network, where every address is a host of its own. It takes more handshakes
//! at a time than one host would, since it stands for all of them. Each host answers at full size what this machine answered once.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use palisade::domain::Address;
use palisade::known_hosts::KnownHosts;
use palisade::program::{self, Program};
use palisade::record::HostState;
use palisade::transport::{Connector as _, HostKeys, Identity, RusshConnector};
use support::make_key;
use support::simulated::{Recorded, SimulatedFleet};

use crate::{cpu, most_memory, run_over};

struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Audits `hosts` hosts, all of them one sshd, with every connection of its own.
pub(crate) fn all(hosts: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let host_key = make_key(folder.path(), "host_key", "ed25519", "").to_string();
    let own = make_key(folder.path(), "id", "ed25519", "");
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("authorized"), format!("{own}\n"))?;
    // The forced command answers as recorded, under the nonce that it is asked with.
    let answer = format!(
        "#!/bin/sh\nnonce=$(sed -n \"s/^palisade_nonce='\\(.*\\)'$/\\1/p\" | head -n 1)\nsed \"s/RECORDED/$nonce/\" {0}\nsed \
         \"s/RECORDED/$nonce/\" {1} >&2\n",
        at("stdout"),
        at("stderr")
    );
    std::fs::write(at("answer"), answer)?;
    std::fs::set_permissions(at("answer"), std::fs::Permissions::from_mode(0o755))?;
    std::fs::create_dir_all("/run/sshd")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = format!(
        "Port {port}\nMaxStartups 300\nListenAddress 0.0.0.0\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nForceCommand {}\nSetEnv HOME={}\n",
        at("host_key"),
        at("authorized"),
        at("answer"),
        // A shell that sshd starts reads root's own settings, which may do anything.
        folder.path().display()
    );
    std::fs::write(at("config"), config)?;

    let mut jobs = SimulatedFleet::new(hosts, &[]).jobs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let recorded = runtime.block_on(Recorded::here(jobs.first().context("a host")?));
    let (stdout, stderr) = recorded.with_nonce("RECORDED");
    std::fs::write(at("stdout"), stdout)?;
    std::fs::write(at("stderr"), stderr)?;

    let log = std::fs::File::create(at("log"))?;
    let sshd = Sshd(
        program::at(Program::Sshd.path().context("sshd is not installed")?)
            .args(["-D", "-e", "-f", &at("config")])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()?,
    );
    let patience = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(Instant::now() < patience, "sshd does not listen: {}", std::fs::read_to_string(at("log"))?);
        std::thread::sleep(Duration::from_millis(50));
    }

    let pins = Arc::new(KnownHosts::parse(&format!("* {host_key}\n"))?);
    for (number, job) in jobs.iter_mut().enumerate() {
        let (high, low) = (u8::try_from(number / 250)?, u8::try_from(number % 250 + 1)?);
        job.target.address = Address::new(std::net::Ipv4Addr::new(127, 7, high, low).into());
        job.target.port = u32::from(port).try_into().map_err(anyhow::Error::from)?;
        job.target.user = "root".parse().map_err(anyhow::Error::from)?;
        job.target.identity =
            Identity { file: Some(folder.path().join("id")), agent: None, declared: Some(vec![own.clone()]) };
        job.target.host_keys = HostKeys::Pinned(Arc::clone(&pins));
        job.target.connect_timeout = Duration::from_mins(2);
        // All of them are one machine.
        job.machine_id = Some("0".repeat(32).parse().map_err(anyhow::Error::from)?);
    }
    held(&runtime, &jobs)?;
    for concurrency in [32, 256] {
        let connector = Arc::new(RusshConnector::new());
        let run = run_over(Arc::clone(&connector) as _, concurrency);
        let (begun, used) = (Instant::now(), cpu());
        let mut each = |result: &mut palisade::record::HostResult| result.raw.clear();
        let results = runtime.block_on(run.look_each(&jobs, &mut each));
        let took = begun.elapsed();
        let lost: Vec<_> = results
            .iter()
            .filter(|result| result.state != HostState::Answered)
            .map(|one| &one.state)
            .collect();
        let knocks: u32 = connector.connections().values().sum();
        println!(
            "{hosts} hosts, {concurrency} at a time: {:.2} s, {:.2} s of CPU time, most memory {} MB, {knocks} connections, {} lost \
             {:?}",
            took.as_secs_f64(),
            cpu().saturating_sub(used).as_secs_f64(),
            most_memory() / 1000,
            lost.len(),
            lost.first()
        );
        ensure!(lost.is_empty(), "hosts were lost");
    }
    drop(sshd);
    Ok(())
}

/// All connections open at the same time.
fn held(runtime: &tokio::runtime::Runtime, jobs: &[palisade::fleet::Job]) -> Result<()> {
    use futures::StreamExt as _;
    let connector = RusshConnector::new();
    let before = most_memory();
    let begun = Instant::now();
    runtime.block_on(async {
        let opening =
            futures::stream::iter(jobs).map(|job| connector.connect(&job.target)).buffer_unordered(64);
        let sessions: Vec<_> = opening.collect().await;
        let failed = sessions.iter().find_map(|session| session.as_ref().err());
        ensure!(failed.is_none(), "{failed:?}");
        println!(
            "{} connections open at once after {:.2} s, {} kB of memory each",
            sessions.len(),
            begun.elapsed().as_secs_f64(),
            (most_memory() - before) / u64::try_from(sessions.len().max(1))?
        );
        for session in sessions.into_iter().flatten() {
            session.close().await;
        }
        Ok(())
    })
}
