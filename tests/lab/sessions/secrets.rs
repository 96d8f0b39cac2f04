//! Secrets on real hosts, from the person's own files: planned, confirmed at the terminal, put in place, compared, changed,
//! taken back, and killed on the way; and a search for them in everything that palisade printed, wrote down and left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::{PLANTED, Ran, wait_for};

use super::Desk;

/// One secret of root's, and one of an account's.
const CONTROLS: &str = r#"
- {id: token, title: The token of the application is on its servers, promise: private-data, severity: high, rationale: x, references: {gdpr: ["32(1)(b)"]}, hosts: all, remediation: x, enforce: [{secret: {path: /etc/lab-app/token, name: lab-token}}]}
- {id: key, title: The key of the application is on its servers, promise: private-data, severity: high, rationale: x, references: {gdpr: ["32(1)(b)"]}, hosts: all, remediation: x, enforce: [{secret: {path: /etc/lab-app/key, name: lab-key, owner: www-data}}]}
"#;

const THESE: [&str; 4] = ["--control", "token", "--control", "key"];

/// Every command line of every process from now on, as often as one can look.
const WATCH: &str = "set -e
cat >/run/lab-watch.pl <<'END'
$| = 1;
while (select undef, undef, undef, 0.02 or 1) {
    for my $file (glob '/proc/[0-9]*/cmdline') {
        open my $open, '<', $file or next;
        local $/;
        my $words = <$open> // '';
        $seen{$words}++ or print $words, qq{\\n};
    }
}
END
systemd-run -q --unit=lab-watch --property=StandardOutput=file:/run/lab-watched perl /run/lab-watch.pl";

/// What is on a host that holds the words `word` or `encoded`: files, and command lines that were seen.
const SEARCH: &str = "set -e
systemctl stop lab-watch
test \"$(wc -c </run/lab-watched)\" -gt 10000
tr '\\0' '\\n' </run/lab-watched >/run/lab-words
grep -q 'sha256sum' /run/lab-words
grep -laF -e \"$word\" -e \"$encoded\" /run/lab-words || :
rm -f /run/lab-watch*
grep -rlaF -e \"$word\" -e \"$encoded\" --exclude-dir=journal /etc /var /root /home /tmp /usr/local /run 2>/dev/null || :
journalctl -q --no-pager | grep -aF -e \"$word\" -e \"$encoded\" || :";

/// What a person at the desk does with secrets of theirs.
struct Holder<'d> {
    desk: &'d Desk,
    /// Everything that was printed.
    printed: Vec<String>,
}

pub(super) fn go_to_hosts_and_nowhere_else(desk: &Desk) {
    let playbooks = desk.world.project().join("playbooks");
    fs::create_dir_all(&playbooks).unwrap();
    fs::write(playbooks.join("own.yaml"), CONTROLS).unwrap();
    for host in ["dev-1", "test-1"] {
        desk.world.sh(host, WATCH);
    }
    let mut holder = Holder { desk, printed: Vec::new() };
    holder.what_is_missing_is_unknown_and_nothing_else();
    holder.a_person_confirms_the_first_use();
    holder.an_approved_plan_sends_what_it_was_made_for();
    holder.drift_is_found_and_mended();
    holder.what_is_interrupted_is_taken_back();
    holder.what_dies_once_committed_is_tidied_up_at_the_next_boot();
    holder.nothing_else_holds_them();
    fs::remove_file(playbooks.join("own.yaml")).unwrap();
}

/// The end of a value that is unlike any other.
fn value(word: &str) -> String {
    format!("{PLANTED}-{word}\nsecond line of {word}\n")
}

impl Holder<'_> {
    /// Keeps a secret as a person does.
    fn keeps(&self, name: &str, word: &str) {
        let folder = self.desk.at(".config/palisade/secrets");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, value(word)).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn ran(&mut self, words: &[&str]) -> Ran {
        let words = [words, &THESE].concat();
        let ran = self.desk.palisade(words).run();
        self.printed.push(ran.said());
        ran
    }

    fn exits(&mut self, code: i32, words: &[&str]) -> Ran {
        let ran = self.ran(words);
        assert_eq!(ran.code, Some(code), "{words:?}: {}", ran.said());
        ran
    }

    /// Owner, mode and content of a file of a host.
    fn has(&self, host: &str, path: &'static str) -> String {
        self.desk.world.sh_with(host, &[("path", path)], r#"stat -c '%U:%G %a' "$path"; cat "$path""#)
    }

    fn holds(&self, host: &str, word: &str) {
        assert_eq!(self.has(host, "/etc/lab-app/token"), format!("root:root 600\n{}", value(word)), "{host}");
    }

    fn what_is_missing_is_unknown_and_nothing_else(&mut self) {
        let audit = self.exits(4, &["audit", "dev"]);
        let said = unwrapped(&audit.out);
        for part in [
            "there is no secret `lab-token`: neither a variable PALISADE_SECRET_LAB_TOKEN nor a file ",
            "/.config/palisade/secrets/lab-token; write it into that file with mode 0600, or set PALISADE_SECRET_LAB_TOKEN",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        self.keeps("lab-token", "one");
        // one of two is there: its control is enforced, and the other one is not
        let apply = self.exits(4, &["apply", "test", "--allow-secret", "lab-token=test"]);
        assert!(unwrapped(&apply.said()).contains("there is no secret `lab-key`"), "{}", apply.said());
        self.holds("test-1", "one");
        self.keeps("lab-key", "key");
        self.desk.world.sh("test-1", "test ! -e /etc/lab-app/key");
        let words = ["apply", "test", "--allow-secret", "lab-key=test/test-1"];
        let _ = self.exits(0, &words);
        assert_eq!(self.has("test-1", "/etc/lab-app/key"), format!("www-data:root 600\n{}", value("key")));
    }

    fn a_person_confirms_the_first_use(&mut self) {
        let plan = self.exits(3, &["plan", "dev"]);
        let said = unwrapped(&plan.out);
        for part in [
            "write the secret lab-token to /etc/lab-app/token",
            "new file, 0600 root:root; its content is not shown",
            "new file, 0600 www-data:root; its content is not shown",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        let script = self.exits(3, &["plan", "dev", "--script"]);
        assert!(script.out.contains("palisade_stage_secret '"), "{}", script.out);
        let refused = self.exits(6, &["apply", "dev", "--allow-secret", "lab-token=test"]);
        assert!(
            unwrapped(&refused.said()).contains("was never sent to dev-1 from here"),
            "{}",
            refused.said()
        );
        self.desk.world.sh("dev-1", "test ! -e /etc/lab-app");
        let mut typing = self.desk.types(
            &["apply", "dev"].iter().chain(&THESE).fold(String::new(), |line, word| line + word + " "),
        );
        typing.wait_for("passphrase of ");
        typing.types(&format!("{}\r", super::PASSPHRASE));
        for name in ["lab-key", "lab-token"] {
            typing.wait_for(&format!("The secret {name} goes to dev (dev-1) for the first time"));
            typing.types("yes\r");
        }
        let (code, shown) = typing.end();
        assert_eq!(code, Some(0), "{shown}");
        self.printed.push(shown);
        self.holds("dev-1", "one");
        let _ = self.exits(0, &["audit", "dev"]);
        let _ = self.exits(0, &["plan", "dev"]);
    }

    fn an_approved_plan_sends_what_it_was_made_for(&mut self) {
        let file = self.desk.at("friday.plan").display().to_string();
        self.keeps("lab-token", "two");
        let plan = self.exits(3, &["plan", "dev", "--out", &file]);
        assert!(
            unwrapped(&plan.out)
                .contains("replace the content of /etc/lab-app/token with the secret lab-token"),
            "{}",
            plan.out
        );
        self.keeps("lab-token", "another");
        let refused = self.exits(6, &["apply", "dev", "--plan", &file]);
        assert!(
            unwrapped(&refused.said()).contains("the secret lab-token is not the one that the plan saw"),
            "{}",
            refused.said()
        );
        self.holds("dev-1", "one");
        self.keeps("lab-token", "two");
        let _ = self.exits(0, &["apply", "dev", "--plan", &file]);
        self.holds("dev-1", "two");
        self.printed.push(fs::read_to_string(file).unwrap());
    }

    fn drift_is_found_and_mended(&mut self) {
        self.desk.world.sh("dev-1", "echo x >>/etc/lab-app/token; chmod 0640 /etc/lab-app/key");
        let audit = self.exits(3, &["audit", "dev"]);
        let said = unwrapped(&audit.out);
        for part in [
            "/etc/lab-app/token does not hold the secret lab-token",
            "/etc/lab-app/key has mode 0640, not 0600",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        let _ = self.exits(0, &["apply", "dev"]);
        self.holds("dev-1", "two");
        // what an account may write in its place is not put there
        self.desk.world.sh("dev-1", "chown www-data /etc/lab-app");
        let plan = self.exits(6, &["plan", "dev"]);
        assert!(
            unwrapped(&plan.out)
                .contains("a folder above /etc/lab-app/token may be written by another account than root"),
            "{}",
            plan.out
        );
        self.desk.world.sh("dev-1", "chown root /etc/lab-app");
    }

    fn what_is_interrupted_is_taken_back(&mut self) {
        self.keeps("lab-token", "three");
        for (host, environment, word) in [("dev-1", "dev", "two"), ("test-1", "test", "one")] {
            let words = [&["apply", environment, "--allow-secret", "lab-token=test"], &THESE[..]].concat();
            let mut run = self.desk.palisade(words).held(&["narrow.verifying"]);
            run.reaches("narrow.verifying");
            self.holds(host, "three");
            run.signal("INT");
            let ran = run.end();
            assert_eq!(ran.code, Some(1), "{}", ran.said());
            self.printed.push(ran.said());
            self.holds(host, word);
            self.no_copy_is_left(host);
        }
    }

    /// The host loses its power where the change is committed, and the old and the new copies still lie there.
    fn what_dies_once_committed_is_tidied_up_at_the_next_boot(&mut self) {
        self.desk.world.sh(
            "test-1",
            "printf '#!/bin/sh\\n: >/run/lab-reached; sleep 600\\n' >/usr/local/sbin/shred; chmod 0755 /usr/local/sbin/shred",
        );
        // what an argument let go once is not kept
        let _ = self.exits(6, &["apply", "test"]);
        let words = [&["apply", "test", "--allow-secret", "lab-token=test"], &THESE[..]].concat();
        let run = self.desk.palisade(words).start();
        wait_for("the copies are about to go", || self.desk.world.has("test-1", "/run/lab-reached"));
        self.desk.world.sh(
            "test-1",
            "set -e; ls /var/lib/palisade/tx/*/old.*; test ! -e /var/lib/palisade/pending; rm /usr/local/sbin/shred; sync",
        );
        self.desk.world.host("test-1").unwrap().crash().unwrap();
        let ran = run.end();
        self.printed.push(ran.said());
        self.desk.world.host("test-1").unwrap().wait_until_ready().unwrap();
        wait_for("the host has tidied up", || !self.desk.world.has("test-1", "/var/lib/palisade/unwiped"));
        self.holds("test-1", "three");
        self.no_copy_is_left("test-1");
        self.desk.world.sh("test-1", WATCH);
        let _ = self.exits(0, &["audit", "test"]);
    }

    fn no_copy_is_left(&self, host: &str) {
        let left = self.desk.world.sh(
            host,
            "find /etc -name '.palisade-*'; find /var/lib/palisade -name 'old.*' -o -name 'new.*' -o -name unwiped",
        );
        assert_eq!(left, "", "{host}");
    }

    fn nothing_else_holds_them(&mut self) {
        for (place, said) in self.printed.iter().enumerate() {
            assert!(!support::holds_a_secret(said), "{place}: {said}");
        }
        let written = support::secrets_in(&self.desk.world.project());
        assert!(written.is_empty(), "{written:?}");
        let state = self.desk.at(".local/state/palisade");
        for file in super::entries(&state) {
            let bytes = fs::read(state.join(&file)).unwrap();
            assert!(!support::holds_a_secret(&String::from_utf8_lossy(&bytes)), "{file}");
        }
        let encoded = support::encoded(PLANTED);
        for host in ["dev-1", "test-1"] {
            // the two files themselves
            let words = [("word", PLANTED), ("encoded", encoded[0].as_str())];
            let mut found: Vec<String> =
                self.desk.world.sh_with(host, &words, SEARCH).lines().map(str::to_owned).collect();
            found.sort();
            assert_eq!(found, ["/etc/lab-app/key", "/etc/lab-app/token"], "{host}");
        }
    }
}

/// Lines of a narrow terminal as one.
fn unwrapped(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}
