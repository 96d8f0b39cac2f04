//! The search of all that palisade wrote down for secrets of hosts, which every test with hosts ends with: it finds those that
//! are there.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use support::{Needs, PLANTED, secrets_in};

support::tests! {
    Needs::NOTHING => [
        a_secret_that_was_written_down_is_found_in_every_form,
    ],
}

fn a_secret_that_was_written_down_is_found_in_every_form() {
    let project = tempfile::tempdir().unwrap();
    let record = |text: &str| {
        let run = project.path().join("runs/20261128t220000123z-prod-audit-1a2b3c4d");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("record.jsonl"), text).unwrap();
        secrets_in(project.path())
    };
    assert_eq!(record("a record of /etc/app/token with other content\n"), Vec::<&Path>::new());
    let token = format!("{PLANTED}-of-a-host");
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n";
    for secret in [token.as_str(), key, "alice:$y$j9T$abc:20000::::::", "openssh-key-v1"] {
        assert_eq!(record(&format!("x {secret} y")).len(), 1, "{secret}");
    }
    for before in ["", "a", "ab", "abc"] {
        for secret in [token.as_str(), key] {
            let body = BASE64.encode(format!("{before}{secret} and more"));
            assert_eq!(record(&body).len(), 1, "{before}{secret}");
        }
    }
}
