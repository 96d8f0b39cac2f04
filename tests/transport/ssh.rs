//! What only ssh(1) can do, and what its configuration can not: our settings hold whatever it says.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use palisade::transport::{
    Connector, ControlFolder, Identity, KeyAgent, OpensshConnector, RusshConnector, Target, TransportError,
};

use crate::releases::of_each_release;
use crate::sshd::{Agent, Sshd, pinned, run};
use palisade::program::Program;
use support::make_key;

of_each_release! {
    a_proxy_command_of_the_person_is_the_way,
    a_certificate_of_the_person_is_the_proof,
    keys_of_files_and_of_the_persons_agent_work,
    an_encrypted_key_file_works_through_the_persons_agent,
    a_key_that_was_unlocked_proves_an_account_over_both,
    what_is_given_up_leaves_no_process_behind,
    a_master_whose_palisade_was_killed_ends_by_itself,
    a_master_that_does_not_hear_is_killed,
    the_persons_configuration_weakens_nothing,
    what_a_killed_run_left_is_ended_by_the_next,
    a_key_that_the_host_does_not_take_is_offered_once,
}

/// A connector with the settings of a person's `config`.
fn with_config(server: &Sshd, config: &str) -> OpensshConnector {
    let path = server.path("person.config");
    std::fs::write(&path, config).unwrap();
    OpensshConnector::new(place(server), vec![path])
}

fn place(server: &Sshd) -> ControlFolder {
    ControlFolder::open(&server.path("c")).unwrap()
}

async fn gets_in(connector: &OpensshConnector, target: &Target) {
    let session = connector.connect(target).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(run(session.as_ref(), "echo in").await.unwrap().stdout, b"in\n");
}

async fn a_proxy_command_of_the_person_is_the_way() {
    let server = Sshd::start("");
    let mut target = server.target();
    let port = target.port;
    // An address that leads nowhere: only the command knows the way.
    target.address = "192.0.2.1".parse().unwrap();
    let trace = server.path("proxied");
    let config =
        format!("Host here\n  ProxyCommand sh -c 'touch {}; exec nc 127.0.0.1 {port}'\n", trace.display());
    gets_in(&with_config(&server, &config), &target).await;
    assert!(trace.exists());
}

async fn a_certificate_of_the_person_is_the_proof() {
    let server = Sshd::start("");
    let dir = server.dir.path();
    let key = make_key(dir, "mine", "ed25519", "");
    make_key(dir, "ca", "ed25519", "");
    let signed = Program::SshKeygen
        .command()
        .args(["-q", "-I", "me", "-n", crate::sshd::me().as_str(), "-s"])
        .args([server.path("ca"), server.path("mine.pub")])
        .status()
        .unwrap();
    assert!(signed.success());
    // The key alone is not authorised; who the authority signed is.
    let ca = std::fs::read_to_string(server.path("ca.pub")).unwrap();
    std::fs::write(server.path("authorized_keys"), format!("cert-authority {ca}")).unwrap();
    let mut target = server.target();
    target.identity = Identity { file: Some(server.path("mine")), agent: None, declared: Some(vec![key]) };
    let config = format!("CertificateFile {}\n", server.path("mine-cert.pub").display());
    gets_in(&with_config(&server, &config), &target).await;
}

async fn keys_of_files_and_of_the_persons_agent_work() {
    let server = Sshd::start("");
    let dir = server.dir.path();
    let rsa = make_key(dir, "rsa", "rsa", "");
    let held = make_key(dir, "held", "ed25519", "");
    let stranger = make_key(dir, "stranger", "ed25519", "");
    let agent = Agent::start(dir);
    agent.add(&server.path("stranger"));
    agent.add(&server.path("held"));
    server.authorize(&[&rsa, &held, &stranger]);
    let mut target = server.target();
    target.identity = Identity { file: Some(server.path("rsa")), agent: None, declared: None };
    gets_in(&with_config(&server, ""), &target).await;

    target.identity = Identity { file: None, agent: None, declared: Some(vec![held.clone()]) };
    let config = format!("Host here\n  IdentityAgent {}\n", agent.socket.display());
    gets_in(&with_config(&server, &config), &target).await;
    assert!(server.log_count(held.fingerprint().as_str(), 1) > 0);
    assert_eq!(
        server.log_count(stranger.fingerprint().as_str(), 0),
        0,
        "what is not declared is not offered"
    );
}

async fn an_encrypted_key_file_works_through_the_persons_agent() {
    let server = Sshd::start("");
    let key = make_key(server.dir.path(), "locked", "ed25519", "a passphrase");
    server.authorize(&[&key]);
    let mut target = server.target();
    target.identity = Identity { file: Some(server.path("locked")), agent: None, declared: Some(vec![key]) };
    let agent = Agent::start(server.dir.path());
    let config = format!("IdentityAgent {}\n", agent.socket.display());
    let error = with_config(&server, &config).connect(&target).await.err().unwrap().to_string();
    assert!(error.contains("protected by a passphrase") && error.contains("ssh-add"), "{error}");
    // The same key without the passphrase, to put it into the agent without a terminal.
    std::fs::copy(server.path("locked"), server.path("plain")).unwrap();
    let done = Program::SshKeygen
        .command()
        .args(["-q", "-p", "-P", "a passphrase", "-N", "", "-f"])
        .arg(server.path("plain"))
        .output()
        .unwrap();
    assert!(done.status.success());
    agent.add(&server.path("plain"));
    gets_in(&with_config(&server, &config), &target).await;
}

async fn a_key_that_was_unlocked_proves_an_account_over_both() {
    let server = Sshd::start("");
    let key = make_key(server.dir.path(), "locked", "ed25519", "a passphrase");
    server.authorize(&[&key]);
    let mut target = server.target();
    let identity = Identity { file: Some(server.path("locked")), agent: None, declared: Some(vec![key]) };
    let locked = RusshConnector::locked_key(&identity).await.unwrap().expect("a locked key");
    assert!(locked.unlock(b"another").is_none() && locked.unlock(b"").is_none());
    let agent = KeyAgent::serve(place(&server), locked.unlock(b"a passphrase").unwrap()).unwrap();
    target.identity = identity.clone();
    target.sign_by(agent.socket());
    let openssh = with_config(&server, "IdentityAgent none\n");
    openssh.agent().set(agent.socket().to_owned()).unwrap();
    let russh = RusshConnector::new();
    let both: [&dyn Connector; 2] = [&russh, &openssh];
    for connector in both {
        let session = connector.connect(&target).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(run(session.as_ref(), "echo in").await.unwrap().stdout, b"in\n");
    }
    // It is in nobody's hands any more once the agent ended; a key that an agent holds is not asked for.
    assert!(RusshConnector::locked_key(&target.identity).await.unwrap().is_none());
    drop(agent);
    for connector in [&RusshConnector::new() as &dyn Connector, &openssh] {
        let error = connector.connect(&target).await.err().expect("no session");
        assert!(matches!(error, TransportError::NoIdentity { .. }), "{error}");
    }
    let not_declared = Identity { declared: Some(vec![server.host_key.clone()]), ..identity };
    assert!(RusshConnector::locked_key(&not_declared).await.unwrap().is_none(), "it is not offered anyway");
}

async fn what_is_given_up_leaves_no_process_behind() {
    let server = Sshd::start("MaxStartups 100");
    let connector = with_config(&server, "");
    // In mid exec: dropped as by Ctrl-C, without a word to anybody.
    let target = server.target();
    let session = connector.connect(&target).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(300), run(session.as_ref(), "sleep 600")).await;
    assert!(asked.is_err());
    drop(session);
    assert_eq!(server.log_count("Disconnected from", 1), 1, "{}", server.log());
    // In mid handshake: at a listener that never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nobody = target.clone();
    nobody.port = u32::from(silent.local_addr().unwrap().port()).try_into().unwrap();
    let knock = connector.connect(&nobody);
    assert!(tokio::time::timeout(Duration::from_secs(1), knock).await.is_err());
    let base = server.path("c").display().to_string();
    let patience = Instant::now() + Duration::from_mins(1);
    while !processes_about(&base).is_empty() {
        assert!(Instant::now() < patience, "still there: {:?}", processes_about(&base));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(connector);
    assert_eq!(std::fs::read_dir(server.path("c")).unwrap().count(), 0, "its folder goes with it");
}

async fn a_master_whose_palisade_was_killed_ends_by_itself() {
    let server = Sshd::start("");
    let connector = with_config(&server, "").ending_after(1);
    let session = connector.connect(&server.target()).await.unwrap();
    run(session.as_ref(), "true").await.unwrap();
    // As after kill -9: nothing runs that ends anything.
    std::mem::forget(session);
    std::mem::forget(connector);
    assert_eq!(server.log_count("Disconnected from", 1), 1, "{}", server.log());
}

async fn a_master_that_does_not_hear_is_killed() {
    let server = Sshd::start("");
    let connector = with_config(&server, "");
    let session = connector.connect(&server.target()).await.unwrap();
    run(session.as_ref(), "true").await.unwrap();
    let base = server.path("c").display().to_string();
    for (process, _) in processes_about(&base) {
        assert!(Program::Kill.command().args(["-s", "STOP", &process]).status().unwrap().success());
    }
    drop(session);
    let patience = Instant::now() + Duration::from_mins(1);
    while !processes_about(&base).is_empty() {
        assert!(Instant::now() < patience, "still there: {:?}", processes_about(&base));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Others are not its concern.
    connector.connect(&server.target()).await.unwrap();
}

/// The processes in whose command lines `text` stands, and these.
fn processes_about(text: &str) -> Vec<(String, String)> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some((entry.file_name().into_string().ok()?, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
    .filter(|(_, line)| line.contains(text))
    .collect()
}

async fn the_persons_configuration_weakens_nothing() {
    let server = Sshd::start("");
    let agent = Agent::start(server.dir.path());
    let other = make_key(server.dir.path(), "other", "ed25519", "").material();
    let trace = server.path("ran");
    let config = format!(
        "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  HostKeyAlias elsewhere\n  \
         PermitLocalCommand yes\n  LocalCommand touch {0}\n  RemoteCommand touch {0}\n  RequestTTY force\n  \
         ForwardAgent yes\n  IdentityAgent {1}\n  User nobody\n  HostName 192.0.2.9\n  Port 1\n  ForwardX11 yes\n  \
         LogLevel QUIET\n  ControlPersist no\n",
        trace.display(),
        agent.socket.display()
    );
    let connector = with_config(&server, &config);
    let mut target = server.target();
    let session = connector.connect(&target).await.unwrap_or_else(|error| panic!("{error}"));
    let said = run(session.as_ref(), "env; tty").await.unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(!said.contains("SSH_AUTH_SOCK") && !said.contains("DISPLAY"), "{said}");
    assert!(said.contains("not a tty"), "{said}");
    assert!(!trace.exists(), "nothing of the configuration runs");
    target.host_keys = pinned(&format!("here {other}"));
    let error = connector.connect(&target).await.err().unwrap();
    assert!(error.to_string().contains("another host key than the pinned one"), "{error}");
}

async fn what_a_killed_run_left_is_ended_by_the_next() {
    let server = Sshd::start("");
    let base = server.path("c");
    let connector = OpensshConnector::new(ControlFolder::open(&base).unwrap(), Vec::new());
    let session = connector.connect(&server.target()).await.unwrap();
    run(session.as_ref(), "true").await.unwrap();
    let master = socket(&base).expect("a control socket");
    // As after kill -9: nothing ran that ends anything, and the lock of the dead is free.
    let left = master.parent().unwrap().parent().unwrap().to_owned();
    std::mem::forget(session);
    std::mem::forget(connector);
    let held = left.join("lock");
    std::fs::remove_file(&held).unwrap();
    std::fs::write(&held, b"").unwrap();
    assert!(alive(&master));
    let next = ControlFolder::open(&base).unwrap();
    let patience = Instant::now() + Duration::from_mins(1);
    while server.log_count("Disconnected from", 1) == 0 {
        assert!(Instant::now() < patience, "the master goes on: {}", server.log());
    }
    assert!(!left.exists());
    drop(next);
}

/// The first control socket below `base`.
fn socket(base: &Path) -> Option<PathBuf> {
    let mut folders = vec![base.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            if entry.file_name() == "master" {
                return Some(entry.path());
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    None
}

fn alive(master: &Path) -> bool {
    let mut check = Program::Ssh.command();
    check.args(["-F", "none", "-O", "check", "-S"]).arg(master).arg("any").stderr(Stdio::null());
    check.status().unwrap().success()
}

async fn a_key_that_the_host_does_not_take_is_offered_once() {
    let server = Sshd::start("");
    let key = make_key(server.dir.path(), "absent", "ed25519", "");
    let mut target = server.target();
    target.identity = Identity { file: None, agent: None, declared: Some(vec![key]) };
    let error = with_config(&server, "IdentityAgent none\n").connect(&target).await.err().unwrap();
    assert!(error.to_string().starts_with("here refused "), "{error}");
    assert!(error.to_string().ends_with("; it takes publickey"), "{error}");
    assert_eq!(server.log_count("Connection from", 1), 1);
}
