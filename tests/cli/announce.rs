//! Announcements against a real mail server: aiosmtpd, with TLS and logins. What arrives is read by its parser, not by ours.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use palisade::program::Program;
use palisade::release::{Package, Release, Set, Vouched};
use palisade::signing::{self, Signer};
use serde_json::{Value, json};
use support::{Needs, Typing, binary, make_key, palisade};

support::tests! {
    Needs::programs(PROGRAMS) => [
        administrators_are_told_once_by_mail_that_others_can_read,
        what_a_server_did_not_take_is_not_recorded,
        a_passphrase_is_asked_for_once_though_two_things_are_signed,
    ],
}

const PROGRAMS: &[Program] = &[
    Program::Openssl,
    Program::PythonSmtpd,
    Program::Python3,
    Program::Env,
    Program::Script,
    Program::Sh,
    Program::SshKeygen,
];

/// Debian's own interpreter, which sees Debian's packages.
fn python() -> Command {
    let mut python = Program::Python3.command();
    python.env("PATH", "/usr/bin:/bin");
    python
}

/// A key without a passphrase, for a certificate.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A project with a signed release, and what mail servers need.
struct Announcement {
    folder: tempfile::TempDir,
    /// The release that can be announced in time.
    release: String,
}

/// A mail server that ends with the test.
struct Server {
    child: Child,
    port: u16,
    mails: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    fn mails(&self) -> Vec<Value> {
        (1..)
            .map_while(|number| fs::read(self.mails.join(format!("{number}.json"))).ok())
            .map(|bytes| serde_json::from_slice(&bytes).expect("a mail"))
            .collect()
    }

    fn logins(&self) -> String {
        fs::read_to_string(self.mails.join("logins")).unwrap_or_default()
    }
}

impl Announcement {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let announcement = Self { folder, release: String::new() };
        let _ = palisade(["init"]).arg(announcement.project()).run().exits(0);
        make_key(announcement.folder.path(), "key", "ed25519", "");
        for ca in ["ca", "other"] {
            let subject = format!("/CN={ca}");
            run(Program::Openssl
                .command()
                .args(["req", "-x509", "-days", "2"])
                .args(NEW_KEY)
                .args(["-subj", &subject, "-keyout"])
                .arg(announcement.at(&format!("{ca}.key")))
                .arg("-out")
                .arg(announcement.at(&format!("{ca}.pem"))));
        }
        run(Program::Openssl
            .command()
            .arg("req")
            .args(NEW_KEY)
            .args(["-subj", "/CN=localhost"])
            .arg("-keyout")
            .arg(announcement.at("server.key"))
            .arg("-out")
            .arg(announcement.at("server.csr")));
        fs::write(announcement.at("server.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
            .expect("a file");
        run(Program::Openssl
            .command()
            .args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
            .arg(announcement.at("server.csr"))
            .arg("-CA")
            .arg(announcement.at("ca.pem"))
            .arg("-CAkey")
            .arg(announcement.at("ca.key"))
            .arg("-extfile")
            .arg(announcement.at("server.ext"))
            .arg("-out")
            .arg(announcement.at("server.pem")));
        announcement.declare(1, "starttls", "ca");
        let (exit, calendar, said) = announcement.palisade(&["calendar", "prod"]);
        assert_eq!(exit, 0, "{calendar:#} {said}");
        let coming = calendar["releases"].as_array().expect("releases");
        let in_time =
            |release: &&Value| release["windows"][0]["notice_by"].as_str() > calendar["now"].as_str();
        let release =
            coming.iter().find(in_time).expect("a release")["id"].as_str().expect("a name").to_owned();
        announcement.write_release(&release);
        announcement.write_release("2024-01-06");
        Self { release, ..announcement }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn project(&self) -> PathBuf {
        self.at("project")
    }

    /// Writes fleet.yaml with this mail server.
    fn declare(&self, port: u16, tls: &str, ca: &str) {
        self.declare_with(port, tls, ca, "[ops@example.com, chief@example.com]");
    }

    fn declare_with(&self, port: u16, tls: &str, ca: &str, administrators: &str) {
        let key = fs::read_to_string(self.at("key.pub")).expect("a key");
        let text = format!(
            "company: Example, Söhne\n\
             people:\n  alice: {{name: Alice Martin, title: CTO, approver: true, keys: [\"{}\"], access: [dev, test, prod]}}\n\
             contacts: {{administrators: {administrators}}}\n\
             mail: {{server: localhost, port: {port}, tls: {tls}, from: palisade@example.com, user: palisade, \
             password: \"secret:test-password\", ca: {}}}\n\
             release: {{first: 2024-01-06, timezone: Europe/Paris, window: {{start: \"Sat 22:00\", duration: 4h}}, notice: 48h, \
             order: [dev, test, prod]}}\n",
            key.trim(),
            self.at(&format!("{ca}.pem")).display()
        );
        fs::write(self.project().join("inventories/fleet.yaml"), text).expect("a file");
        self.trusts(port);
    }

    fn write_release(&self, id: &str) {
        let package = Package {
            from: ["1.0".parse().expect("a version")].into(),
            version: "1.1".parse().expect("a version"),
            architecture: "all".parse().expect("an architecture"),
            origin: "Debian-Security:12/oldstable-security".to_owned(),
            size: 7,
            sha256: palisade::domain::Digest::of(b"package"),
            roles: BTreeSet::new(),
            vouched: Some(Vouched::Local { reason: "made by a test".to_owned() }),
        };
        let set = Set {
            distribution: "debian-12".to_owned(),
            architecture: "amd64".parse().expect("an architecture"),
            hosts: ["dev-web-1".parse().expect("a host")].into(),
            packages: [("openssl".parse().expect("a package"), package)].into(),
            archives: Vec::new(),
            held: BTreeSet::new(),
            kept_back: BTreeSet::new(),
            restarts: ["nginx.service".parse().expect("a unit")].into(),
        };
        let release = Release {
            id: id.parse().expect("a name"),
            planned: "2024-01-01T00:00:00Z".parse().expect("a moment"),
            by: "alice".parse().expect("a name"),
            emergency: None,
            sets: vec![set],
        };
        let text = release.to_yaml();
        let signature = signing::sign(&Signer::File(self.at("key")), "palisade-release", text.as_bytes())
            .expect("a signature");
        let folder = self.project().join("releases");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{id}.yaml")), text).expect("a file");
        fs::write(folder.join(format!("{id}.yaml.sig")), signature).expect("a file");
    }

    fn server(&self, mode: &str) -> Server {
        let mails = self.at(&format!("mails-{mode}"));
        fs::create_dir_all(&mails).expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/smtp_server.py");
        let mut child = python()
            .arg(script)
            .arg(mode)
            .arg(self.at("server.pem"))
            .arg(self.at("server.key"))
            .arg(&mails)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It tells of every connection that palisade breaks off.
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its port");
        Server { child, port: line.trim().parse().expect("a port"), mails }
    }

    /// Exit status, the document on standard output, and what was said.
    fn palisade(&self, args: &[&str]) -> (i32, Value, String) {
        self.palisade_with("correct horse", args)
    }

    fn palisade_with(&self, password: &str, args: &[&str]) -> (i32, Value, String) {
        let call = palisade(args).args(["--as", "alice", "--project"]).arg(self.project()).json();
        let call = call.arg("--identity").arg(self.at("key")).env("PALISADE_SECRET_TEST_PASSWORD", password);
        let ran = call.env("XDG_STATE_HOME", self.at("state")).run();
        (ran.code.expect("an exit status"), ran.json(), ran.err)
    }

    /// Lets the password go to the server at `port`, as a person does who says so.
    fn trusts(&self, port: u16) {
        let folder = self.at("state").join("palisade");
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("receivers");
        let known = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, format!("{known}test-password localhost:{port}\n")).expect("a file");
    }

    fn announce(&self) -> (i32, Value, String) {
        self.palisade(&["patch", "announce", "prod", "--release", &self.release])
    }

    /// When the calendar says that the release was announced.
    fn announced(&self) -> Value {
        let (exit, calendar, said) = self.palisade(&["calendar", "prod"]);
        assert_eq!(exit, 0, "{said}");
        let coming = calendar["releases"].as_array().expect("releases");
        let mine = coming.iter().find(|release| release["id"] == self.release.as_str()).expect("the release");
        mine["windows"][0]["announced"].clone()
    }

    /// The records of notices, without their signatures.
    fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.project().join("releases")).expect("releases").flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with(".notice.json"))
            .collect()
    }
}

fn administrators_are_told_once_by_mail_that_others_can_read() {
    for mode in ["starttls", "implicit"] {
        let announcement = Announcement::new();
        let server = announcement.server(mode);
        announcement.declare(server.port, mode, "ca");
        assert_eq!(announcement.announced(), Value::Null);
        let (exit, document, said) = announcement.announce();
        assert_eq!((exit, &document["sent"]), (0, &json!(true)), "{said}");
        assert_eq!(announcement.announced(), document["notice"]["sent"], "the calendar knows it");
        let [mail] = server.mails().try_into().expect("one mail");
        assert_eq!(mail["encrypted"], true);
        assert_eq!(mail["login"], true);
        assert_eq!(mail["from"], "palisade@example.com");
        assert_eq!(mail["to"], json!(["ops@example.com", "chief@example.com"]));
        assert_eq!(mail["defects"], json!([]));
        let subject = mail["subject"].as_str().expect("a subject");
        assert!(subject.starts_with("[Example, Söhne] Maintenance of prod: Sat "), "{subject}");
        assert_eq!(mail["parts"][0][0], "text/plain");
        let text = mail["parts"][0][1].as_str().expect("text");
        for line in [
            "the servers of Example, Söhne (prod) are maintained",
            "replaces 1 packages, of which 1 are security updates.",
            "Services that are restarted: nginx.service",
            "Servers: db-1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(mail["parts"][1][0], "text/calendar");
        let events: icalendar::Calendar =
            mail["parts"][1][1].as_str().expect("a calendar").parse().expect("a calendar");
        assert_eq!(events.components.len(), 1);

        let [record] = announcement.records().try_into().expect("one record");
        let kept: Value = serde_json::from_slice(&fs::read(&record).expect("a record")).expect("a record");
        assert_eq!(kept, document["notice"]);
        assert_eq!(kept["answer"], "250 taken as number 1");
        assert_eq!(
            format!("<{}>", kept["message"].as_str().expect("a name")),
            mail["id"].as_str().expect("a name")
        );
        let release =
            fs::read(announcement.project().join(format!("releases/{}.yaml", announcement.release)))
                .expect("a release");
        assert_eq!(kept["sha256"], palisade::domain::Digest::of(&release).to_string());

        let (exit, document, said) = announcement.announce();
        assert_eq!((exit, &document["sent"]), (0, &json!(false)), "{said}");
        assert_eq!(server.mails().len(), 1, "it is not sent twice");

        let text = fs::read_to_string(&record).expect("a record");
        fs::write(&record, text.replace("ops@", "nobody@")).expect("an edit");
        let (exit, _, said) = announcement.announce();
        assert_eq!(exit, 6, "{said}");
        assert!(said.contains("it is not what alice signed"), "{said}");
    }
}

fn what_a_server_did_not_take_is_not_recorded() {
    let announcement = Announcement::new();
    let starttls = announcement.server("starttls");
    let implicit = announcement.server("implicit");
    let plain = announcement.server("plain");
    let fails = |what: &str, exit: i32, outcome: (i32, Value, String), why: &str| {
        let (ended, _, said) = outcome;
        assert_eq!(ended, exit, "{what}: {said}");
        assert!(said.contains(why), "{what}: {said}");
        assert!(!said.contains("correct horse") && !said.contains("wrong horse"), "{what}: {said}");
        assert_eq!(announcement.records(), Vec::<PathBuf>::new(), "{what}");
    };
    announcement.declare(starttls.port, "starttls", "ca");
    let announce = ["patch", "announce", "prod", "--release", &announcement.release];
    fails(
        "a wrong password",
        1,
        announcement.palisade_with("wrong horse", &announce),
        "did not take the mail: ",
    );
    assert_eq!(starttls.logins(), "palisade bad\n".repeat(starttls.logins().lines().count()));
    fails(
        "no password",
        6,
        announcement.palisade_with("", &announce),
        "the variable PALISADE_SECRET_TEST_PASSWORD: it is empty",
    );
    let receivers = announcement.at("state/palisade/receivers");
    let known = fs::read(&receivers).expect("what a person said");
    fs::remove_file(&receivers).expect("removed");
    let receiver = format!("localhost:{}", starttls.port);
    let never = format!("was never sent to {receiver} from here");
    fails("a server that nobody let it go to", 6, announcement.announce(), &never);
    fs::write(receivers, known).expect("put back");

    let logins = starttls.logins();
    announcement.declare(implicit.port, "implicit", "other");
    fails("a certificate of somebody else", 1, announcement.announce(), "certificate");
    announcement.declare(plain.port, "starttls", "ca");
    fails("a server without TLS", 1, announcement.announce(), "did not take the mail: ");
    announcement.declare(1, "starttls", "ca");
    fails("nobody there", 1, announcement.announce(), "localhost:1 did not take the mail: ");
    let others = implicit.logins() + &plain.logins();
    assert_eq!((starttls.logins(), others), (logins, String::new()), "no password was sent in vain");

    announcement.declare_with(starttls.port, "starttls", "ca", "[ops@example.com, nobody@example.com]");
    fails(
        "a recipient whom the server does not know",
        1,
        announcement.announce(),
        "(550): there is nobody of this name",
    );
    announcement.declare_with(starttls.port, "starttls", "ca", "[]");
    fails("no recipient", 2, announcement.announce(), "nobody would be told");

    announcement.declare(starttls.port, "starttls", "ca");
    let late = announcement.palisade(&["patch", "announce", "prod", "--release", "2024-01-06"]);
    fails("a window that is over", 6, late, "--next-window announces it for Sat ");
    let unsigned = announcement.project().join(format!("releases/{}.yaml.sig", announcement.release));
    let signature = fs::read(&unsigned).expect("a signature");
    fs::remove_file(&unsigned).expect("removed");
    fails("a release without its signature", 6, announcement.announce(), "yaml.sig cannot be read");
    fs::write(&unsigned, signature).expect("put back");
    assert_eq!(starttls.mails(), Vec::<Value>::new());

    let (exit, document, said) =
        announcement.palisade(&["patch", "announce", "prod", "--release", "2024-01-06", "--next-window"]);
    assert_eq!((exit, &document["sent"]), (0, &json!(true)), "{said}");
    assert_eq!(starttls.mails().len(), 1);
}

fn a_passphrase_is_asked_for_once_though_two_things_are_signed() {
    let announcement = Announcement::new();
    let server = announcement.server("starttls");
    announcement.declare(server.port, "starttls", "ca");
    run(Program::SshKeygen
        .command()
        .args(["-q", "-p", "-P", "", "-N", "a passphrase", "-f"])
        .arg(announcement.at("key")));
    let (program, release) = (binary(), &announcement.release);
    let mut script = Typing::command(&format!("exec {program} patch announce prod --release {release}"));
    script
        .env("PALISADE_PROJECT", announcement.project())
        .env("PALISADE_AS", "alice")
        .env("PALISADE_SECRET_TEST_PASSWORD", "correct horse")
        .env("XDG_STATE_HOME", announcement.at("state"));
    script.env("PALISADE_IDENTITY", announcement.at("key")).env_remove("SSH_AUTH_SOCK");
    let mut typing = Typing::start(script);
    typing.wait_for("passphrase of ");
    typing.types("a passphrase\r");
    let (code, shown) = typing.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("passphrase").count(), 1, "{shown}");
    assert_eq!(server.mails().len(), 1);
    let (exit, document, said) = announcement.announce();
    assert_eq!((exit, &document["sent"]), (0, &json!(false)), "its record is signed by alice: {said}");
}
