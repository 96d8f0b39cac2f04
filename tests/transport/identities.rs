//! Which key of ours is offered: one, declared, once.

use palisade::transport::{Identity, Target, TransportError};

use crate::releases::{of_each_release, over_both};
use crate::sshd::{Agent, Sshd, connect, run};
use palisade::program::Program;
use support::make_key;

over_both! {
    a_key_file_is_offered_only_where_it_is_declared_or_nothing_is,
}

of_each_release! {
    the_agent_s_declared_key_is_the_only_one_offered,
    an_rsa_key_of_the_agent_signs_with_sha2,
    a_refused_key_is_offered_once,
    an_encrypted_key_file_works_through_the_agent,
    what_is_no_key_is_said,
}

async fn why_not(target: &Target) -> String {
    connect(target).await.err().expect("a session was opened").to_string()
}

async fn the_agent_s_declared_key_is_the_only_one_offered() {
    let server = Sshd::start("");
    let dir = server.dir.path();
    let agent = Agent::start(dir);
    let strangers = [("one", "ed25519"), ("two", "ecdsa"), ("three", "rsa")].map(|(name, kind)| {
        let key = make_key(dir, name, kind, "");
        agent.add(&server.path(name));
        key
    });
    let declared = make_key(dir, "mine", "ed25519", "");
    agent.add(&server.path("mine"));
    server.authorize(&[&declared]);
    let mut target = server.target();
    target.identity =
        Identity { file: None, agent: Some(agent.socket.clone()), declared: Some(vec![declared.clone()]) };
    let session = connect(&target).await.unwrap();
    run(session.as_ref(), "true").await.unwrap();
    assert!(server.log_count(declared.fingerprint().as_str(), 1) > 0);
    for stranger in &strangers {
        assert_eq!(server.log_count(stranger.fingerprint().as_str(), 0), 0, "{}", server.log());
    }
    assert_eq!(server.log_count("Failed publickey", 0), 0, "{}", server.log());

    let stranger = make_key(dir, "stranger", "ed25519", "");
    target.identity.declared = Some(vec![stranger.clone()]);
    let before = server.log_count("Connection from", 0);
    let why = why_not(&target).await;
    assert!(why.contains("the agent holds 4 key(s), none of them declared"), "{why}");
    assert!(why.contains(stranger.fingerprint().as_str()), "{why}");
    assert_eq!(server.log_count("Connection from", before), before, "the host was not contacted");
}

async fn an_rsa_key_of_the_agent_signs_with_sha2() {
    let server = Sshd::start("");
    let agent = Agent::start(server.dir.path());
    let key = make_key(server.dir.path(), "rsa", "rsa", "");
    agent.add(&server.path("rsa"));
    server.authorize(&[&key]);
    let mut target = server.target();
    target.identity =
        Identity { file: None, agent: Some(agent.socket.clone()), declared: Some(vec![key.clone()]) };
    connect(&target).await.unwrap();
    // The same by its file, which needs the agent to sign.
    target.identity.file = Some(server.path("rsa"));
    connect(&target).await.unwrap();
    target.identity.agent = None;
    let why = why_not(&target).await;
    assert!(why.contains("an RSA key file is used through the agent only"), "{why}");
    assert!(why.contains("ssh-add"), "{why}");
}

async fn a_refused_key_is_offered_once() {
    let server = Sshd::start("Banner /etc/hostname");
    let other = make_key(server.dir.path(), "other", "ed25519", "");
    server.authorize(&[&other]);
    let error = connect(&server.target()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
    assert!(error.to_string().ends_with("; it takes publickey"), "{error}");
    assert_eq!(server.log_count("Failed publickey", 1), 1, "{}", server.log());
    assert_eq!(server.log_count("Connection from", 1), 1, "a refusal is not tried again");
}

async fn a_key_file_is_offered_only_where_it_is_declared_or_nothing_is() {
    let server = Sshd::start("");
    let mut target = server.target();
    let other = make_key(server.dir.path(), "other", "ed25519", "");
    target.identity.declared = Some(vec![other]);
    let why = why_not(&target).await;
    assert!(why.contains("which is not declared for the account"), "{why}");
    assert_eq!(server.log_count("Connection from", 0), 0);
    target.identity.declared = None;
    connect(&target).await.unwrap();
}

async fn an_encrypted_key_file_works_through_the_agent() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Sshd::start("");
    let key = make_key(server.dir.path(), "locked", "ed25519", "a passphrase");
    server.authorize(&[&key]);
    let agent = Agent::start(server.dir.path());
    let mut target = server.target();
    target.identity = Identity {
        file: Some(server.path("locked")),
        agent: Some(agent.socket.clone()),
        declared: Some(vec![key]),
    };
    let why = why_not(&target).await;
    assert!(why.contains("protected by a passphrase"), "{why}");
    assert!(why.contains("ssh-add"), "{why}");
    // The same key without the passphrase, to put it into the agent without a terminal.
    let plain = server.path("plain");
    {
        std::fs::copy(server.path("locked"), &plain).unwrap();
        let done = Program::SshKeygen
            .command()
            .args(["-q", "-p", "-P", "a passphrase", "-N", "", "-f"])
            .arg(&plain)
            .output()
            .unwrap();
        assert!(done.status.success());
    }
    agent.add(&plain);
    connect(&target).await.unwrap();
    // The public half alone names the agent's key as well.
    target.identity.file = Some(server.path("locked.pub"));
    connect(&target).await.unwrap();
    // ssh refuses a private key that others can read; so do we.
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
    target.identity.file = Some(plain);
    let why = why_not(&target).await;
    assert!(why.contains("open to others (mode 0644)"), "{why}");
}

async fn what_is_no_key_is_said() {
    let server = Sshd::start("");
    let mut target = server.target();
    for (identity, words) in [
        (
            Identity { file: Some("/nonexistent\u{1b}[31m".into()), agent: None, declared: None },
            "No such file",
        ),
        (
            Identity { file: Some("/etc/hostname".into()), agent: None, declared: None },
            "neither a private key",
        ),
        (Identity { file: None, agent: None, declared: None }, "--identity FILE"),
        (Identity { file: None, agent: None, declared: Some(vec![]) }, "no key is declared"),
        (
            Identity { file: None, agent: None, declared: Some(vec![server.host_key.clone()]) },
            "SSH_AUTH_SOCK",
        ),
        (
            Identity {
                file: None,
                agent: Some("/nonexistent".into()),
                declared: Some(vec![server.host_key.clone()]),
            },
            "does not answer",
        ),
    ] {
        target.identity = identity;
        let why = why_not(&target).await;
        assert!(why.starts_with("no key to connect with: ") && why.contains(words), "{why}");
        assert!(!why.contains('\u{1b}'), "{why:?}");
    }
}
